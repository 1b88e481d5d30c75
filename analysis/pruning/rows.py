"""Selection within the rows of a matrix [out, in], and within each matrix, by rank keys."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import Array, Mask
from analysis.pruning.kernels import Keys
from analysis.pruning.scope import Scope
from analysis.pruning.selection import keys_of

_SIGNLESS = np.uint32(0x7FFFFFFF)


def spread(sparsity: float, sizes: Sequence[int]) -> NDArray[np.int64]:
    """How many to remove of each of these sizes: about sparsity times its size, the total exact.

    Each gets ⌊s·size⌋ or one more: the running total is rounded, so the odd ones are spread evenly.
    """
    ends = np.concatenate([[0], np.cumsum(np.asarray(sizes, np.int64))])
    return np.diff([round(sparsity * int(end)) for end in ends])


def keep_largest_in_rows(keys: Keys, removed: NDArray[np.int64]) -> Mask:
    """The mask of keys (rows, cols) that removes the `removed` (rows,) smallest of each row.

    Among equal keys the first go.
    """
    keep = np.ones(keys.shape, np.bool_)
    keys = keys & _SIGNLESS
    for count in np.unique(removed[removed > 0]).tolist():
        rows = removed == count
        chosen = keys[rows]
        last = np.partition(chosen, count - 1, axis=1)[:, count - 1 : count]
        below = chosen < last
        ties = chosen == last
        spare = count - below.sum(axis=1, keepdims=True)
        keep[rows] = ~(below | (ties & (np.cumsum(ties, axis=1, dtype=np.int32) <= spare)))
    return keep


def keep_largest_by_layer(scope: Scope, sparsity: float) -> dict[str, Mask]:
    """Masks that remove the smallest |w| of each tensor on its own, the total exact."""
    counts = spread(sparsity, [array.size for array in scope.weights.values()])
    return {
        name: keep_largest_in_rows(keys_of(array)[None], count[None]).reshape(array.shape)
        for (name, array), count in zip(scope.weights.items(), counts, strict=True)
    }


def keep_largest_by_row(scope: Scope, sparsity: float) -> dict[str, Mask]:
    """Masks that remove the smallest |w| of each output row on its own, the total exact."""
    oriented = {name: scope.outputs_first(name, scope.weights[name]) for name in scope.weights}
    widths = [array.shape[-1] for array in oriented.values() for _ in range(rows_of(array))]
    counts, masks, start = spread(sparsity, widths), {}, 0
    for name, array in oriented.items():
        stop = start + rows_of(array)
        keys = keys_of(array).reshape(stop - start, -1)
        mask = keep_largest_in_rows(keys, counts[start:stop]).reshape(array.shape)
        masks[name] = scope.outputs_first(name, mask)
        start = stop
    return masks


def rows_of(array: Array) -> int:
    """The number of rows: of entries along all axes but the last."""
    return math.prod(array.shape[:-1])
