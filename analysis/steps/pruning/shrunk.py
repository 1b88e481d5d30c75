"""Smaller models: whole neurons and heads removed, a checkpoint of its own for each level."""

import time
from pathlib import Path
from typing import Any

from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.digests import content_sha256
from analysis.checkpoints.weights import write_in_place_of
from analysis.engine.machine import peak_here
from analysis.engine.objects import Objects
from analysis.pruning.calibrated import Calibration
from analysis.pruning.methods.structured import in_scope
from analysis.pruning.moments import moments_of
from analysis.pruning.prunable import scope_of
from analysis.pruning.structured import Unreachable, projections, remove_units, write_kept
from analysis.steps.pruning.calibrated import Look


def shrink_checkpoint(
    objects: Objects,
    *,
    weights_sha256: str,
    levels: list[float],
    calibration: dict[str, Any],
    checkpoint: str,
) -> dict[str, Any]:
    """Record: for each level the smaller checkpoint, as near to the level as whole units allow, or
    why it cannot be reached; `calibration` is as of `Look`, `weights_sha256` is
    the key's."""
    folder = objects.open(checkpoint)
    loaded = Look(**calibration).at(objects, folder)
    with objects.scratch() as scratch:
        found, peak = peak_here(lambda: _shrink(folder, levels, loaded, scratch))
        for i, level in enumerate(found):
            if level["status"] == "ok":
                level["checkpoint"] = {"object": objects.adopt(scratch / str(i))}
    return {"levels": found, "peak_bytes": peak}


def _shrink(
    folder: Path, levels: list[float], loaded: Calibration, scratch: Path
) -> list[dict[str, Any]]:
    """Write the checkpoint of level i to scratch/i; returns the levels' facts."""
    with scope_of(folder, in_scope) as model:
        named, config = model.named, model.opened.config
        weights, outside = dict(model.opened.tensors), model.outside["share"]
    start = time.perf_counter()
    moments, calibrated_on = moments_of(loaded, projections(named))
    whole = sum(weights[name].size for name in named)
    found = []
    for i, level in enumerate(levels):
        facts: dict[str, Any] = {"level": level, "sparsity": level, "threshold": None}
        try:
            smaller = remove_units(weights, config, moments, level)
        except Unreachable as error:
            found.append(facts | {"status": "unreachable", "reason": str(error)})
            continue
        seconds = time.perf_counter() - start
        out = scratch / str(i)
        write_in_place_of(folder, out, smaller.weights)
        write_kept(out, smaller.kept)
        parameters = sum(smaller.weights[name].size for name in named)
        facts |= {
            "status": "ok",
            "achieved": smaller.removed / smaller.scope_weights,
            "scope_weights": smaller.scope_weights,
            "outside_share": outside,
            "whole_model": 1 - parameters / whole,
            "parameters": parameters,
            "weights_sha256": content_sha256(open_checkpoint(out)),
            "kept": smaller.kept,
            "calibrated_on": calibrated_on,
            "prune_seconds": round(seconds, 4),
        }
        found.append(facts)
        del smaller  # or it would be there beside the next one
        start = time.perf_counter()
    return found
