"""Dense checkpoints: the built-in models, pretrained here and fine-tuned for their tasks."""

import time
from pathlib import Path
from typing import Any

from analysis.models import naming
from analysis.models.builtin import fine_tune_builtin, pretrain
from analysis.models.weights import FILE, read_weights, weights_sha256
from analysis.objects import Objects


def pretrain_builtin(objects: Objects, *, name: str, seed: int, threads: int) -> dict[str, Any]:
    """Record of a built-in model trained from scratch on its family's own objective."""
    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        start = time.perf_counter()
        facts = pretrain(name, seed=seed, threads=threads, out=folder)
        return _record(objects, folder, time.perf_counter() - start, facts)


def fine_tune(
    objects: Objects, *, checkpoint: str, task: str, seed: int, threads: int
) -> dict[str, Any]:
    """Record of a copy of the checkpoint (an object's digest) fine-tuned for the task."""
    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        start = time.perf_counter()
        facts = fine_tune_builtin(
            objects.open(checkpoint), task, seed=seed, threads=threads, out=folder
        )
        return _record(objects, folder, time.perf_counter() - start, facts)


def _record(
    objects: Objects, folder: Path, seconds: float, facts: dict[str, Any]
) -> dict[str, Any]:
    weights = read_weights(folder)
    names = naming.weights(weights)
    prunable = [name for name, what in names.items() if what.prunable]
    return {
        "weights_sha256": weights_sha256(weights),
        "parameters": sum(weights[name].size for name in names),
        "prunable_parameters": sum(weights[name].size for name in prunable),
        "dtype": ",".join(sorted({str(array.dtype) for array in weights.values()})),
        "bytes": (folder / FILE).stat().st_size,
        "train_seconds": round(seconds, 3),
        "training": facts,
        "checkpoint": {"object": objects.adopt(folder)},
    }
