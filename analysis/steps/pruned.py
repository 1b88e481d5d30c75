"""Pruned models: all levels of one method in one step, remembered as bit-packed masks."""

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np

from analysis import pruning
from analysis.machine import peak_of
from analysis.models import naming
from analysis.models.weights import read_weights, require_finite
from analysis.objects import Objects
from analysis.pruning.masks import Pruned, write_pruned
from analysis.pruning.scope import Scope, stored_by_input


def prune_checkpoint(
    objects: Objects,
    *,
    weights_sha256: str,
    method: str,
    sparsities: list[float],
    seed: int,
    checkpoint: str,
) -> dict[str, Any]:
    """Record: for each level the masks, what was achieved of what, the threshold, the seconds that
    its selection took (the first has what all share); the peak memory of the whole.

    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie.
    """
    with objects.scratch() as scratch:
        work = functools.partial(
            _prune, objects.open(checkpoint), weights_sha256, method, sparsities, seed, scratch
        )
        levels, peak = peak_of(work)
        for i, level in enumerate(levels):
            level["masks"] = {"object": objects.adopt(scratch / str(i))}
    return {"levels": levels, "peak_bytes": peak}


def _prune(
    folder: Path,
    weights_sha256: str,
    method: str,
    sparsities: list[float],
    seed: int,
    scratch: Path,
) -> list[dict[str, Any]]:
    """Write the masks of level i to scratch/i; returns the levels' facts."""
    module = pruning.method(method)
    tensors = read_weights(folder)
    names = naming.weights(tensors)
    weights = {name: tensors[name] for name in names}
    scope = {name: weights[name] for name, what in names.items() if module.in_scope(what)}
    require_finite(weights, scope)
    whole = sum(array.size for array in weights.values())
    zeros_elsewhere = sum(
        int(array.size - np.count_nonzero(array)) for n, array in weights.items() if n not in scope
    )
    by_input = stored_by_input({name: array.shape for name, array in weights.items()})
    handed = Scope(scope, by_input=by_input, seed=seed)
    levels = []
    start = time.perf_counter()
    for i, selection in enumerate(module.select(handed, sparsities)):
        seconds = time.perf_counter() - start
        write_pruned(scratch / str(i), Pruned(selection.masks), weights_sha256)
        size = sum(array.size for array in scope.values())
        kept = (np.count_nonzero(scope[name] * mask) for name, mask in selection.masks.items())
        zeros = size - int(sum(kept))
        levels.append(
            {
                "sparsity": selection.sparsity,
                "achieved": zeros / size,
                "scope_weights": size,
                "whole_model": (zeros + zeros_elsewhere) / whole,
                "threshold": selection.threshold,
                "prune_seconds": round(seconds, 4),
            }
        )
        start = time.perf_counter()
    return levels
