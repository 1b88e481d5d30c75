"""The same share of every group."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.pruning.patterns import Pattern


def uniform(sparsity: float, sizes: Mapping[str, Sequence[int]]) -> Mapping[str, NDArray[np.int64]]:
    """How many to remove of each group of each matrix, the total of all exact.

    Each gets ⌊s·size⌋ or one more: the running total is rounded, so the odd ones are spread evenly.
    """
    each = np.asarray([size for own in sizes.values() for size in own], np.int64)
    ends = np.concatenate([[0], np.cumsum(each)])
    counts = np.diff([round(sparsity * int(end)) for end in ends])
    stops = np.cumsum([0, *map(len, sizes.values())])
    return {n: counts[a:b] for n, a, b in zip(sizes, stops[:-1], stops[1:], strict=True)}


def same(pattern: Pattern, sizes: Mapping[str, Sequence[int]]) -> Mapping[str, Pattern]:
    """The same pattern everywhere."""
    return dict.fromkeys(sizes, pattern)
