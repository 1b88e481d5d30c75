"""Selection within the rows of a matrix [out, in], and within each matrix, by rank keys."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.engine.arrays import Array, Mask
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
    return keep_largest(scope.weights, dict(zip(scope.weights, counts.tolist(), strict=True)))


def keep_largest(weights: Mapping[str, Array], removed: Mapping[str, int]) -> dict[str, Mask]:
    """Masks that remove the `removed` smallest |w| of each tensor that is named there."""
    return {
        name: keep_largest_in_rows(keys_of(weights[name])[None], np.array([count])).reshape(
            weights[name].shape
        )
        for name, count in removed.items()
    }


def keep_largest_by_row(scope: Scope, sparsity: float) -> dict[str, Mask]:
    """Masks that remove the smallest |w| of each output row on its own, the total exact."""
    oriented = {name: scope.outputs_first(name, scope.weights[name]) for name in scope.weights}
    counts = removed_of_rows({name: array.shape for name, array in oriented.items()}, sparsity)
    masks = {}
    for name, array in oriented.items():
        keys = keys_of(array).reshape(len(counts[name]), -1)
        mask = keep_largest_in_rows(keys, counts[name]).reshape(array.shape)
        masks[name] = scope.outputs_first(name, mask)
    return masks


def removed_of_rows(
    shapes: Mapping[str, tuple[int, ...]], sparsity: float
) -> dict[str, NDArray[np.int64]]:
    """How many to remove of each row of each matrix [..., in], the total of all exact.

    A row is what lies along the last axis.
    """
    rows = {name: math.prod(shape[:-1]) for name, shape in shapes.items()}
    widths = [shape[-1] for name, shape in shapes.items() for _ in range(rows[name])]
    counts = spread(sparsity, widths)
    ends = np.cumsum([0, *rows.values()])
    return {n: counts[a:b] for n, a, b in zip(rows, ends[:-1], ends[1:], strict=True)}
