"""Dense checkpoints: the built-in models, trained here, and the record of any checkpoint."""

import time
from pathlib import Path
from typing import Any

from analysis.checkpoints import digests
from analysis.checkpoints.opened import opened
from analysis.checkpoints.outside import default_outside
from analysis.engine.objects import Objects
from analysis.training.builtin import fine_tune_builtin, pretrain


def pretrain_builtin(objects: Objects, *, name: str, seed: int, threads: int) -> dict[str, Any]:
    """Record of a built-in model trained from scratch on its family's own objective."""
    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        start = time.perf_counter()
        facts = pretrain(name, seed=seed, threads=threads, out=folder)
        return checkpoint_record(objects, folder, time.perf_counter() - start, facts)


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
        return checkpoint_record(objects, folder, time.perf_counter() - start, facts)


def checkpoint_record(
    objects: Objects, folder: Path, seconds: float, facts: dict[str, Any]
) -> dict[str, Any]:
    """Record of the checkpoint in `folder`, which moves into the store; it may be a link's target.

    seconds, facts   how long its training took, and how it went

    Weights are read in blocks, so they need not fit into memory. Raises RequestError if the folder
    holds no readable checkpoint.
    """
    with opened(folder) as model:
        checkpoint, counted, sizes = model.checkpoint, model.named, model.sizes
        outside = default_outside(counted, model.shapes)
    return {
        "weights_sha256": digests.content_sha256(checkpoint),
        "parameters": sum(sizes.values()),
        "prunable_parameters": sum(sizes[n] for n, what in counted.items() if what.prunable),
        "outside_weights": outside,
        "dtype": ",".join(sorted({tensor.dtype.name for tensor in checkpoint.tensors.values()})),
        "bytes": sum(path.stat().st_size for path in checkpoint.files),
        "train_seconds": round(seconds, 3),
        "training": facts,
        "checkpoint": {"object": objects.adopt(folder)},
    }
