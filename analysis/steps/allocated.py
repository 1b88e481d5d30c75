"""A pruned model whose matrices have sparsities of their own: magnitude within each."""

import time
from typing import Any

from analysis.models import naming
from analysis.models.weights import read_weights, require_finite
from analysis.objects import Objects
from analysis.pruning.allocation import counts
from analysis.pruning.masks import write_pruned
from analysis.pruning.outcome import outcome
from analysis.pruning.rows import keep_largest
from analysis.pruning.selection import Selection


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
    tensors = read_weights(objects.open(checkpoint))
    weights = {name: tensors[name] for name in naming.weights(tensors)}
    require_finite(weights, sparsities)
    start = time.perf_counter()
    removed = counts({name: weights[name].size for name in sparsities}, sparsities, sparsity)
    masks = keep_largest(weights, removed)
    seconds = time.perf_counter() - start
    pruned, facts = outcome(weights, sparsities, Selection(sparsity, masks, None))
    with objects.scratch() as scratch:
        write_pruned(scratch / "masks", pruned, weights_sha256)
        masks_object = {"object": objects.adopt(scratch / "masks")}
    return facts | {"level": sparsity, "masks": masks_object, "prune_seconds": round(seconds, 4)}
