"""Selection by N:M patterns, in every group of neighbours along the inputs of a matrix."""

import itertools

import numpy as np
from numpy.typing import NDArray

from analysis.checkpoints.choice import excluding
from analysis.engine import threads
from analysis.engine.arrays import Mask
from analysis.errors import RequestError
from analysis.pruning import kernels
from analysis.pruning.patterns import Pattern
from analysis.pruning.scope import Scope
from analysis.pruning.selection import keys_of

_PIECES = 4  # of the rows for each core, so that none waits long for another


def keep_largest_in_groups(saliency: NDArray[np.float32], pattern: Pattern) -> Mask:
    """The mask of a saliency (rows, cols): the N largest of each M neighbours are kept.

    Among equals the first go; what is left over at the end of a row is kept.
    """
    keys = keys_of(saliency).reshape(saliency.shape)
    keep = np.empty(keys.shape, np.bool_)
    for _ in threads.each(
        lambda rows: kernels.keep_in_groups(keys[rows], pattern.kept, pattern.group, keep[rows]),
        pieces(len(keys)),
    ):
        pass
    return keep


def pieces(rows: int) -> list[slice]:
    """The rows in pieces of about the same length, a few for each core."""
    ends = np.linspace(0, rows, min(rows, _PIECES * threads.count()) + 1).astype(int)
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def keep_largest_by_group(scope: Scope, pattern: Pattern) -> dict[str, Mask]:
    """Masks that keep the N largest |w| of each M inputs of every output.

    Raises RequestError for a tensor whose outputs have fewer inputs than M (SqueezeBERT's
    convolutions): all of it would stay.
    """
    short = [
        name
        for name, stored in scope.weights.items()
        if scope.outputs_first(name, stored).shape[-1] < pattern.group
    ]
    if short:
        raise RequestError(
            f"{short[0]}, {list(scope.weights[short[0]].shape)}, has no {pattern.group} neighbours"
            f" along its inputs, which {pattern} takes; leave such out with {excluding(short)}, or"
            " take a method that takes a sparsity"
        )
    masks = {}
    for name, stored in scope.weights.items():
        matrix = scope.outputs_first(name, stored)
        flat = np.ascontiguousarray(matrix).reshape(-1, matrix.shape[-1])
        mask = keep_largest_in_groups(flat, pattern).reshape(matrix.shape)
        masks[name] = scope.outputs_first(name, mask)
    return masks
