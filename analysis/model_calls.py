"""What goes into the steps that get a model: train, download or open it, and fine-tune it."""

from dataclasses import replace
from pathlib import Path

from analysis import placement, tasks
from analysis.calls import HUB, NUMPY, TORCH
from analysis.files import stamp
from analysis.memo import Call, Record
from analysis.models.family import shape_sha256
from analysis.sections import ALL, Pretraining, Shape
from analysis.study import Model, Study
from analysis.variants import Variant, suffix

# what a checkpoint is asked for as it comes, by family
_PRETRAINED = {
    "encoder-only": "masked",
    "decoder-only": "causal",
    "encoder-decoder": "text-to-text",
}


def base(study: Study, model: Model, seed: int, training: dict[str, Record]) -> Call:
    """The checkpoint that a model begins with; `training` has the records of training examples."""
    if model.source == "builtin":
        call = pretrain(model.name, seed, study.compute.threads)
        return replace(call, label=f"{model.name}{suffix(study, seed)}: pretrain")
    if model.source == "scratch":
        return _from_scratch(study, model, seed, training)
    if model.source == "local":
        return _local(model)
    return _replica(study, model) if study.rehearsal else _hub(model)


def pretrain(name: str, seed: int, threads: int) -> Call:
    """A built-in model, trained from scratch."""
    return Call(
        "analysis.steps.checkpoints:pretrain_builtin",
        {"name": name, "seed": seed, "threads": threads},
        libraries=TORCH,
        label=f"{name}: pretrain",
    )


def _from_scratch(study: Study, model: Model, seed: int, training: dict[str, Record]) -> Call:
    return Call(
        "analysis.steps.scratch:pretrain_scratch",
        {
            "family": model.family,
            "shape": (model.shape or Shape()).model_dump(),
            "training": (model.pretraining or Pretraining()).model_dump(),
            "texts": [training[task]["training"]["object"] for task in model.tasks],
            "seed": seed,
            "threads": study.compute.threads,
        },
        libraries=TORCH,
        label=f"{model.name}{suffix(study, seed)}: pretrain",
    )


def _local(model: Model) -> Call:
    folder = Path(str(model.path)).expanduser()
    return Call(
        "analysis.steps.sources:take_folder",
        {"files": stamp(folder)},
        carried={"path": str(folder)},
        libraries=NUMPY,
        label=f"{model.name}: open",
    )


def _hub(model: Model) -> Call:
    return Call(
        "analysis.steps.sources:take_hub_model",
        {
            "identifier": model.id,
            "revision": model.revision,
            "remote_code": model.remote_code,
        },
        libraries=HUB,
        label=f"{model.name}: download",
    )


def _replica(study: Study, model: Model) -> Call:
    return Call(
        "analysis.steps.sources:make_replica",
        {
            "identifier": model.id,
            "form": _PRETRAINED[model.family],
            "shape_sha256": shape_sha256(str(model.id)),
            "seed": 0,
            "tiny": study.rehearsal == "tiny",
        },
        libraries=TORCH,
        label=f"{model.name}: replica with random weights",
    )


def fine_tune(
    study: Study, model: Model, base: Variant, task: str, training: Record | None
) -> Call:
    """A copy of a checkpoint, fine-tuned for a task."""
    label = f"{model.name}{suffix(study, base.seed)}: fine-tune for {task}"
    if model.source == "builtin":
        return Call(
            "analysis.steps.checkpoints:fine_tune",
            {
                "checkpoint": base.checkpoint,
                "task": task,
                "seed": base.seed,
                "threads": study.compute.threads,
            },
            code=(tasks.module_name(task),),
            libraries=TORCH,
            label=label,
        )
    described, tuning = tasks.task(task), model.fine_tuning or study.fine_tuning
    data = None if training is None else training["training"]["object"]
    return Call(
        "analysis.steps.tuned:fine_tune_checkpoint",
        {
            "checkpoint": base.checkpoint,
            "form": tasks.training_form(described),
            "data": data,
            "labels": training["labels"] if training else None,
            "label_words": training.get("label_words", {}) if training else {},
            "examples": None if tuning.examples == ALL else tuning.examples,
            "epochs": tuning.epochs,
            "learning_rate": tuning.learning_rate,
            "batch_size": tuning.batch_size,
            "max_tokens": tuning.tokens or described.max_tokens,
            "seed": base.seed,
            "threads": study.compute.threads,
            **placement.fine_tuning(study.compute),
        },
        libraries=TORCH,
        label=label,
    )
