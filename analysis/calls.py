"""What goes into each step: the one place that decides what a remembered result depends on."""

from typing import Any

from analysis import placement, tasks
from analysis.memo import Call, Record
from analysis.study import Study
from analysis.variants import Variant

NUMPY = ("numpy", "safetensors")
TORCH = (*NUMPY, "torch", "transformers", "tokenizers")
_SHARE = 0.75  # of the memory that there is
OTHER_EXAMPLES = 1_000  # added to seeds, for other draws than those of training and testing
HUB = (*NUMPY, "huggingface_hub")
DATA = ("pyarrow",)
SCORES = ("evaluate", "scikit-learn", "sacrebleu", "rouge-score")


def profile(
    name: str, weights_sha256: str, config: str, checkpoint: str, files: list[Any] | None = None
) -> Call:
    """The distribution of the weights of a checkpoint: an object, or a folder with its stamp.

    config   what tells its config.json, which says what weights are, from others
    """
    return Call(
        "analysis.steps.profiles:profile_weights",
        {"weights_sha256": weights_sha256, "config": config},
        carried={"checkpoint": checkpoint, "files": files},
        libraries=(*NUMPY, "numba"),
        label=f"{name}: profile",
    )


def histograms(name: str, variants: list[Variant]) -> Call:
    """The histograms of variants of one checkpoint, of which the masks are known."""
    return Call(
        "analysis.steps.histograms:histograms_of_masked",
        {
            "checkpoint": variants[0].checkpoint,
            "weights_sha256": variants[0].weights_sha256,
            "masks": [variant.masks for variant in variants],
        },
        libraries=(*NUMPY, "numba"),
        label=f"{name}: histograms after pruning",
    )


def sensitivity(study: Study, dense: Variant, task: str, examples: Record) -> Call:
    """What each layer or kind of a dense model bears, on these examples."""
    assert study.sensitivity is not None
    where = placement.device(study.compute)
    return Call(
        "analysis.steps.sensitivity:measure_sensitivity",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "task_name": task,
            "settings": _asked(study, task, examples),
            "data": examples["data"]["object"],
            "by": study.sensitivity.by,
            "sparsities": list(study.sensitivity.sparsities),
            "batch_size": study.compute.batch_size,
            "threads": study.compute.threads,
            "device": where,
        },
        carried=memory(study, where),
        code=(tasks.module_name(task),),
        libraries=(*TORCH, *SCORES, "numba"),
        label=f"{dense.name}: sensitivity",
    )


def evaluate(study: Study, variant: Variant, task: str, examples: Record) -> Call:
    """A variant's scores on a task."""
    place = placement.answering(study.compute, variant.kind)
    said = f"{_model(study, variant)} on {_data(study, task)}"
    return Call(
        "analysis.steps.evaluation:evaluate_variant",
        {
            "checkpoint": variant.checkpoint,
            "masks": variant.masks,
            "task_name": task,
            "settings": _asked(study, task, examples),
            "data": examples["data"]["object"],
            "batch_size": study.compute.batch_size,
            "threads": study.compute.threads,
            **place,
        },
        carried=memory(study, place["device"]) | {"said": said},
        code=(tasks.module_name(task),),
        libraries=(*TORCH, *SCORES),
        label=f"{variant.name}: evaluate{'' if variant.task == task else f' for {task}'}",
    )


def _asked(study: Study, task: str, examples: Record) -> dict[str, Any]:
    """The fields of the task that its data decide, and how the study has its texts written."""
    written = study.generation.get(task)
    own = {} if written is None or not written.given else {"generation": written.given}
    return examples.get("settings", {}) | own


def _model(study: Study, variant: Variant) -> str:
    """A variant's model as the study names it: its path, or what it is on the hub."""
    found = next((model for model in study.models if model.name == variant.model), None)
    return (found and (found.path or found.id)) or variant.model


def _data(study: Study, task: str) -> str:
    """A task's test data, as the study names them."""
    files = study.data.get(task)
    return task if files is None else files.test


def size(study: Study, variant: Variant) -> Call:
    """A variant's bytes in every format."""
    return Call(
        "analysis.steps.sizes:measure_sizes",
        {
            "checkpoint": variant.checkpoint,
            "weights_sha256": variant.weights_sha256,
            "masks": variant.masks,
            "formats": list(study.formats),
        },
        libraries=(*NUMPY, "numba", "zstandard"),
        label=f"{variant.name}: store",
    )


def memory(study: Study, where: str) -> dict[str, int]:
    """The bytes that a step on that device may take: more or less of it changes no result."""
    given = study.compute.memory_gb
    here = _SHARE * placement.memory_bytes(study.compute, where)
    return {"memory_bytes": int(given * 1e9 if given else here)}
