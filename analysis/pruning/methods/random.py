"""Random pruning: every weight in scope is as likely to go. The floor for all other methods."""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from analysis.checkpoints.naming import Weight
from analysis.pruning.kernels import Keys
from analysis.pruning.scope import Scope
from analysis.pruning.selection import Selection, smallest_keys

TITLE = "random"
CITATION = "hoefler2021sparsity"
KIND = "weights"


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def select(scope: Scope, sparsities: Sequence[float]) -> Iterable[Selection]:
    """Remove the weights with the smallest of numbers drawn once, so levels are nested."""

    def keys(name: str) -> Keys:
        drawn = np.random.Generator(np.random.Philox([scope.seed, zlib.crc32(name.encode())]))
        return drawn.integers(0, 1 << 31, scope.weights[name].size, dtype=np.uint32)

    shapes = {name: scope.weights[name].shape for name in sorted(scope.weights)}
    for cut in smallest_keys(keys, shapes, sparsities):
        yield Selection(cut.sparsity, cut, None)
