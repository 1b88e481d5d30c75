"""N:M by magnitude: the N largest |weight| of every M inputs of an output (Mishra et al. 2021)."""

from collections.abc import Iterable, Sequence

from analysis.checkpoints.naming import Weight
from analysis.pruning.groups import keep_largest_by_group
from analysis.pruning.patterns import Pattern
from analysis.pruning.scope import Scope
from analysis.pruning.selection import Selection

TITLE = "N:M magnitude"
CITATION = "mishra2021accelerating"
KIND = "weights"
LEVELS = "patterns"


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def select(scope: Scope, patterns: Sequence[Pattern]) -> Iterable[Selection]:
    """Keep the largest |w| of each group."""
    for pattern in patterns:
        yield Selection(pattern.sparsity, keep_largest_by_group(scope, pattern), None)
