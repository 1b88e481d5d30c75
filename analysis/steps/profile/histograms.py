"""Histograms of pruned checkpoints, of which the masks are known."""

from typing import Any

import numpy as np

from analysis.checkpoints.opened import opened
from analysis.engine import threads
from analysis.engine.objects import Objects
from analysis.profile.bits import Counts
from analysis.profile.grids import histograms
from analysis.profile.leaf import counted
from analysis.pruning.masks import Pruned, left, read_pruned, require_known


def histograms_of_masked(
    objects: Objects, *, weights_sha256: str, masks: list[str | None], checkpoint: str
) -> dict[str, Any]:
    """Record: the histogram of all parameters under each of these masks (objects); None is dense.

    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie. A few
    tensors are in memory at a time.
    """
    levels = [Pruned({}) if mask is None else read_pruned(objects.open(mask)) for mask in masks]
    with opened(objects.open(checkpoint)) as model:
        for pruned in levels:
            require_known(model.named, pruned)

        def of_tensor(name: str) -> list[tuple[Counts, int]]:
            array = model.weights[name]
            return [_counts(left(name, array, pruned)) for pruned in levels]

        counts: list[Counts | int] = [0] * len(levels)
        zeros = [0] * len(levels)
        for found in threads.each(of_tensor, model.named):
            for i, (of_level, zero) in enumerate(found):
                counts[i] = counts[i] + of_level
                zeros[i] += zero
    pairs = zip(counts, zeros, strict=True)
    return {"histograms": [histograms(np.asarray(c), zero) for c, zero in pairs]}


def _counts(array: Any) -> tuple[Counts, int]:
    """How many weights are in each bin, and how many are zero."""
    return counted(array), array.size - int(np.count_nonzero(array))
