"""What goes into the steps that prune, and that train what was pruned; see `calls`."""

from typing import Any

from analysis import calls, placement, pruning, tasks
from analysis.data_calls import Data
from analysis.memo import Call
from analysis.sections import Recovery, Training
from analysis.study import Study
from analysis.variants import Variant


def prune(study: Study, dense: Variant, data: Data, method: str) -> Call:
    """All levels of one method on a dense checkpoint, put to the task of these data."""
    return _PRUNE[pruning.kind(method)](study, dense, data, method)


def _prune_by_weights(study: Study, dense: Variant, data: Data, method: str) -> Call:
    return Call(
        "analysis.steps.pruned:prune_checkpoint",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "method": method,
            "levels": levels(study, method),
            "include": list(study.include),
            "exclude": list(study.exclude),
            "seed": dense.seed,
        },
        code=(pruning.module_name(method),),
        libraries=(*calls.NUMPY, "numba"),
        label=f"{dense.name}: prune by {method}",
    )


def _prune_calibrated(study: Study, dense: Variant, data: Data, method: str) -> Call:
    return Call(
        "analysis.steps.calibrated:prune_calibrated",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "method": method,
            "levels": levels(study, method),
            "include": list(study.include),
            "exclude": list(study.exclude),
            **_calibration(study, dense, data),
        },
        code=(pruning.module_name(method), tasks.module_name(data.task)),
        libraries=(*calls.TORCH, "numba", "scipy"),
        label=f"{dense.name}: prune by {method}",
    )


def _shrink(study: Study, dense: Variant, data: Data, method: str) -> Call:
    return Call(
        "analysis.steps.shrunk:shrink_checkpoint",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "levels": list(study.sparsities),
            **_calibration(study, dense, data),
        },
        code=(tasks.module_name(data.task),),
        libraries=calls.TORCH,
        label=f"{dense.name}: remove units",
    )


def _grow(study: Study, dense: Variant, data: Data, method: str) -> Call:
    return Call(
        "analysis.steps.grown:grow_sparse",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "sparsities": list(study.sparsities),
            **training(study, dense, data, _recovery(study).gradual),
        },
        code=(pruning.module_name(method), tasks.module_name(data.task)),
        libraries=(*calls.TORCH, "numba"),
        label=f"{dense.name}: prune by {method}",
    )


_PRUNE = {
    "weights": _prune_by_weights,
    "calibrated": _prune_calibrated,
    "structured": _shrink,
    "trained": _grow,
}


def levels(study: Study, method: str) -> list[Any]:
    """The levels that a method is asked for: sparsities, or patterns."""
    return list(study.patterns if pruning.takes_patterns(method) else study.sparsities)


def _calibration(study: Study, dense: Variant, data: Data) -> dict[str, Any]:
    return {
        "task": data.task,
        "training": data.training_object,
        "examples": study.calibration.examples,
        "tokens": study.calibration.tokens,
        "seed": dense.seed + calls.OTHER_EXAMPLES,
        "threads": study.compute.threads,
        "device": placement.device(study.compute),
    }


def training(study: Study, dense: Variant, data: Data, how: Training) -> dict[str, Any]:
    """The arguments of a step that trains; texts are cut where fine-tuning cuts them."""
    model = next(model for model in study.models if model.name == dense.model)
    tokens = (model.fine_tuning or study.fine_tuning).tokens
    return {
        "task": data.task,
        "training": data.training_object,
        **how.model_dump(),
        "max_tokens": tokens or tasks.task(data.task).max_tokens,
        "seed": dense.seed,
        "threads": study.compute.threads,
        "device": placement.device(study.compute),
    }


def _recovery(study: Study) -> Recovery:
    assert study.recovery is not None  # the study has been validated
    return study.recovery


def recover(study: Study, pruned: Variant, data: Data, protocol: str) -> Call:
    """A pruned variant, trained with its masks kept."""
    return Call(
        "analysis.steps.recovered:recover",
        {
            "checkpoint": pruned.checkpoint,
            "weights_sha256": pruned.weights_sha256,
            "masks": pruned.masks,
            "protocol": protocol,
            **training(study, pruned, data, _recovery(study).training),
        },
        code=(tasks.module_name(data.task),),
        libraries=calls.TORCH,
        label=f"{pruned.name}: {protocol}",
    )


def recover_without_masks(study: Study, pruned: Variant, data: Data) -> Call:
    """The same training with nothing to keep the zeros."""
    return Call(
        "analysis.steps.recovered:recover_without_masks",
        {
            "checkpoint": pruned.checkpoint,
            "weights_sha256": pruned.weights_sha256,
            "masks": pruned.masks,
            **training(study, pruned, data, _recovery(study).training),
        },
        code=(tasks.module_name(data.task),),
        libraries=calls.TORCH,
        label=f"{pruned.name}: fine-tuned without masks",
    )


def prune_allocated(dense: Variant, sparsity: float, sparsities: dict[str, float]) -> Call:
    """A level at which each matrix has a sparsity of its own."""
    return Call(
        "analysis.steps.allocated:prune_allocated",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "sparsity": sparsity,
            "sparsities": sparsities,
        },
        libraries=(*calls.NUMPY, "numba"),
        label=f"{dense.name}: prune by sensitivity to {sparsity:g}",
    )
