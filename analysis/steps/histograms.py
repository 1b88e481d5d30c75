"""Histograms of pruned checkpoints, of which the masks are known."""

from typing import Any

import numpy as np

from analysis.models import naming
from analysis.models.weights import read_weights
from analysis.objects import Objects
from analysis.profile.grids import histograms
from analysis.profile.leaf import counted
from analysis.pruning.masks import applied, read_pruned


def histograms_of_masked(
    objects: Objects, *, weights_sha256: str, masks: list[str | None], checkpoint: str
) -> dict[str, Any]:
    """Record: the histogram of all parameters under each of these masks (objects); None is dense.

    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie.
    """
    dense = read_weights(objects.open(checkpoint))
    dense = {name: dense[name] for name in naming.weights(dense)}
    listed = []
    for mask in masks:
        weights = dense if mask is None else applied(dense, read_pruned(objects.open(mask)))
        counts = np.sum([counted(array) for array in weights.values()], axis=0)
        zeros = sum(array.size - int(np.count_nonzero(array)) for array in weights.values())
        listed.append(histograms(counts, zeros))
    return {"histograms": listed}
