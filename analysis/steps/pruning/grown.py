"""Models pruned gradually while they train: all levels in one step, as one training climbs."""

import time
from typing import Any

import torch

from analysis.engine.objects import Objects
from analysis.models.loading import load_model
from analysis.pruning.methods.gradual import in_scope
from analysis.pruning.prunable import scope_of
from analysis.steps.recovery.courses import course_on, write_trained
from analysis.training.growing import grow_sparse as grow
from analysis.training.recovery import flushing_denormals


def grow_sparse(
    objects: Objects,
    *,
    checkpoint: str,
    weights_sha256: str,
    sparsities: list[float],
    course: dict[str, Any],
) -> dict[str, Any]:
    """Record: for each level, in the given order, its masks with the values that training gave,
    what was achieved of what, and the seconds.

    `course` is as `course_on` takes it, its epochs those of each level. `train_seconds` are all
    that led to the level, those of the levels below and of selecting included; `prune_seconds` the
    selecting since the level below. The peak memory is not measured: it would be training's, not
    the method's.
    """
    chosen = course_on(objects, course)
    torch.set_num_threads(chosen.threads)
    folder = objects.open(checkpoint)
    model, tokenizer = load_model(folder, chosen.form, chosen.device)
    levels: dict[float, dict[str, Any]] = {}
    seconds = 0.0
    with (
        scope_of(folder, in_scope) as dense,
        objects.scratch() as scratch,
        flushing_denormals() as flushed,
    ):
        start = time.perf_counter()
        for level in grow(model, tokenizer, dense.names, sparsities, chosen):
            seconds += time.perf_counter() - start
            path = scratch / "masks"
            achieved = write_trained(path, model, dense.opened, level.masks, weights_sha256)
            levels[level.sparsity] = achieved | {
                "level": level.sparsity,
                "sparsity": level.sparsity,
                "threshold": level.threshold,
                "prune_seconds": round(level.prune_seconds, 4),
                "train_seconds": round(seconds, 3),
                "zeros_by_epoch": level.zeros,
                "final_loss": level.losses[-1],
                "masks": {"object": objects.adopt(path)},
            }
            start = time.perf_counter()
    return {
        "levels": [levels[sparsity] for sparsity in sparsities],
        "peak_bytes": None,
        "flush_denormal": flushed,
    }
