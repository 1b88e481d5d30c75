"""N of every M neighbours along the inputs of a matrix; what is left over at the end stays."""

import itertools
import math

import numpy as np

from analysis.checkpoints.choice import excluding
from analysis.engine import threads
from analysis.engine.arrays import Mask
from analysis.errors import RequestError
from analysis.pruning import kernels
from analysis.pruning.groups.within import Within
from analysis.pruning.kernels import Keys
from analysis.pruning.patterns import Pattern
from analysis.pruning.scope import Scope

_PIECES = 4  # of the rows for each core, so that none waits long for another


def pieces(rows: int) -> list[slice]:
    """The rows in pieces of about the same length, a few for each core."""
    ends = np.linspace(0, rows, min(rows, _PIECES * threads.count()) + 1).astype(int)
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _keep(keys: Keys, pattern: Pattern) -> Mask:
    rows = keys.reshape(math.prod(keys.shape[:-1]), keys.shape[-1])
    keep = np.empty(rows.shape, np.bool_)
    for _ in threads.each(
        lambda part: kernels.keep_in_groups(rows[part], pattern.kept, pattern.group, keep[part]),
        pieces(len(rows)),
    ):
        pass
    return keep.reshape(keys.shape)


def _require(scope: Scope, pattern: Pattern) -> None:
    """Refuse tensors whose outputs have fewer inputs than M (SqueezeBERT's convolutions): all of
    them would stay."""
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


N_OF_M = Within(lambda shape: [], _keep, require=_require)  # a pattern holds its groups' size
