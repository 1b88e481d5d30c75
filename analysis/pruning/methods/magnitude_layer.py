"""Magnitude pruning of each matrix on its own: the same sparsity in every layer."""

from collections.abc import Iterable, Sequence

from analysis.checkpoints.naming import Weight
from analysis.pruning.rows import keep_largest_by_layer
from analysis.pruning.scope import Scope
from analysis.pruning.selection import Selection

TITLE = "magnitude by layer"
CITATION = "zhu2018prune"
KIND = "weights"


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def select(scope: Scope, sparsities: Sequence[float]) -> Iterable[Selection]:
    """Remove the smallest |w| of each matrix, so that all have the same sparsity."""
    for sparsity in sparsities:
        yield Selection(sparsity, keep_largest_by_layer(scope, sparsity), None)
