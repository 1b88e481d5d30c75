"""What goes into the steps that prune, and that train what was pruned; see `calls`."""

from typing import Any

from analysis import calls, pruning
from analysis.memo import Call
from analysis.sections import Recovery, Training
from analysis.study import Study
from analysis.variants import Variant


def prune(study: Study, dense: Variant, task: str, method: str) -> Call:
    """All levels of one method on a dense checkpoint, put to that task."""
    return _PRUNE[pruning.kind(method)](study, dense, task, method)


def _prune_by_weights(study: Study, dense: Variant, task: str, method: str) -> Call:
    return Call(
        "analysis.steps.pruned:prune_checkpoint",
        {
            "weights_sha256": dense.weights_sha256,
            "method": method,
            "levels": _levels(study, method),
            "include": list(study.include),
            "exclude": list(study.exclude),
            "seed": dense.seed,
        },
        carried={"checkpoint": dense.checkpoint},
        code=(pruning.module_name(method),),
        libraries=(*calls.NUMPY, "numba"),
        label=f"{dense.name}: prune by {method}",
    )


def _prune_calibrated(study: Study, dense: Variant, task: str, method: str) -> Call:
    return Call(
        "analysis.steps.calibrated:prune_calibrated",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "method": method,
            "levels": _levels(study, method),
            "include": list(study.include),
            "exclude": list(study.exclude),
            **_calibration(study, dense, task),
        },
        code=(pruning.module_name(method),),
        libraries=(*calls.TORCH, "numba", "scipy"),
        label=f"{dense.name}: prune by {method}",
    )


def _shrink(study: Study, dense: Variant, task: str, method: str) -> Call:
    return Call(
        "analysis.steps.shrunk:shrink_checkpoint",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "levels": list(study.sparsities),
            **_calibration(study, dense, task),
        },
        libraries=calls.TORCH,
        label=f"{dense.name}: remove units",
    )


def _grow(study: Study, dense: Variant, task: str, method: str) -> Call:
    return Call(
        "analysis.steps.grown:grow_sparse",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "task": task,
            "sparsities": list(study.sparsities),
            **_training(study, dense, _recovery(study).gradual),
        },
        code=(pruning.module_name(method),),
        libraries=(*calls.TORCH, "numba"),
        label=f"{dense.name}: prune by {method}",
    )


_PRUNE = {
    "weights": _prune_by_weights,
    "calibrated": _prune_calibrated,
    "structured": _shrink,
    "trained": _grow,
}


def _levels(study: Study, method: str) -> list[Any]:
    return list(study.patterns if pruning.takes_patterns(method) else study.sparsities)


def _calibration(study: Study, dense: Variant, task: str) -> dict[str, Any]:
    return {
        "task": task,
        "examples": study.calibration.examples,
        "tokens": study.calibration.tokens,
        "seed": dense.seed + calls.OTHER_EXAMPLES,
        "threads": study.compute.threads,
        "device": study.compute.device,
    }


def _training(study: Study, dense: Variant, training: Training) -> dict[str, Any]:
    return {
        **training.model_dump(),
        "seed": dense.seed,
        "threads": study.compute.threads,
    }


def _recovery(study: Study) -> Recovery:
    assert study.recovery is not None  # the study has been validated
    return study.recovery


def recover(study: Study, pruned: Variant, task: str, protocol: str) -> Call:
    """A pruned variant, trained with its masks kept."""
    return Call(
        "analysis.steps.recovered:recover",
        {
            "checkpoint": pruned.checkpoint,
            "weights_sha256": pruned.weights_sha256,
            "masks": pruned.masks,
            "task": task,
            "protocol": protocol,
            **_training(study, pruned, _recovery(study).training),
        },
        libraries=calls.TORCH,
        label=f"{pruned.name}: {protocol}",
    )


def recover_without_masks(study: Study, pruned: Variant, task: str) -> Call:
    """The same training with nothing to keep the zeros."""
    return Call(
        "analysis.steps.recovered:recover_without_masks",
        {
            "checkpoint": pruned.checkpoint,
            "weights_sha256": pruned.weights_sha256,
            "masks": pruned.masks,
            "task": task,
            **_training(study, pruned, _recovery(study).training),
        },
        libraries=calls.TORCH,
        label=f"{pruned.name}: fine-tuned without masks",
    )


def prune_allocated(dense: Variant, sparsity: float, sparsities: dict[str, float]) -> Call:
    """A level at which each matrix has a sparsity of its own."""
    return Call(
        "analysis.steps.allocated:prune_allocated",
        {
            "weights_sha256": dense.weights_sha256,
            "sparsity": sparsity,
            "sparsities": sparsities,
        },
        carried={"checkpoint": dense.checkpoint},
        libraries=(*calls.NUMPY, "numba"),
        label=f"{dense.name}: prune by sensitivity",
    )
