"""Magnitude pruning of each output row on its own: Wanda's comparison group, without its data."""

from collections.abc import Iterable, Sequence

from analysis.checkpoints.naming import Weight
from analysis.pruning.rows import keep_largest_by_row
from analysis.pruning.scope import Scope
from analysis.pruning.selection import Selection

TITLE = "magnitude by row"
CITATION = "sun2024wanda"
KIND = "weights"


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def select(scope: Scope, sparsities: Sequence[float]) -> Iterable[Selection]:
    """Remove the smallest |w| of each output row, ⌊cols·s⌋ of them or one more."""
    for sparsity in sparsities:
        yield Selection(sparsity, keep_largest_by_row(scope, sparsity), None)
