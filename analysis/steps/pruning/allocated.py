"""A pruned model whose matrices have sparsities of their own: magnitude within each."""

import time
from dataclasses import replace
from typing import Any

from analysis.engine.objects import Objects
from analysis.pruning.allocation.sensitivity import by_sensitivity
from analysis.pruning.masks import write_pruned
from analysis.pruning.methods import magnitude_layer
from analysis.pruning.outcome import outcome
from analysis.pruning.prunable import prunable, scope_of
from analysis.pruning.selection import select


def prune_allocated(
    objects: Objects,
    *,
    weights_sha256: str,
    sparsity: float,
    sparsities: dict[str, float],
    checkpoint: str,
) -> dict[str, Any]:
    """Record of one level: as of `prune_checkpoint`, the smallest |w| of each matrix removed.

    `sparsities` are the matrices' own, by name; together they are `sparsity`, exactly.
    """
    with scope_of(objects.open(checkpoint), prunable) as model, objects.scratch() as scratch:
        scope = replace(model, names=sorted(sparsities))
        weights, allocation = scope.read(seed=0), by_sensitivity(sparsities)
        start = time.perf_counter()
        (selection,) = select(magnitude_layer, weights, [sparsity], allocation)
        seconds = time.perf_counter() - start
        pruned, facts = outcome(scope, selection)
        write_pruned(scratch / "masks", pruned, weights_sha256, model.opened.dtypes)
        masks_object = {"object": objects.adopt(scratch / "masks")}
    return facts | {"level": sparsity, "masks": masks_object, "prune_seconds": round(seconds, 4)}
