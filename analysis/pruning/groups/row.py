"""Each row of a matrix [..., in]: the weights of one output."""

import math

import numpy as np
from numpy.typing import NDArray

from analysis.engine.arrays import Mask
from analysis.pruning.groups.within import Within
from analysis.pruning.kernels import Keys

_SIGNLESS = np.uint32(0x7FFFFFFF)


def _keep(keys: Keys, removed: NDArray[np.int64]) -> Mask:
    """Of `removed` (rows,) the smallest of each row go."""
    rank = keys.reshape(len(removed), -1) & _SIGNLESS
    keep = np.ones(rank.shape, np.bool_)
    for count in np.unique(removed[removed > 0]).tolist():
        rows = removed == count
        chosen = rank[rows]
        last = np.partition(chosen, count - 1, axis=1)[:, count - 1 : count]
        below = chosen < last
        ties = chosen == last
        spare = count - below.sum(axis=1, keepdims=True)
        keep[rows] = ~(below | (ties & (np.cumsum(ties, axis=1, dtype=np.int32) <= spare)))
    return keep.reshape(keys.shape)


ROW = Within(lambda shape: [shape[-1]] * math.prod(shape[:-1]), _keep)
