"""Global magnitude pruning of the prunable weights (Han et al. 2015, arXiv 1506.02626)."""

from collections.abc import Iterable, Sequence

from analysis.checkpoints.naming import Weight
from analysis.pruning.scope import Scope
from analysis.pruning.selection import Selection, smallest_magnitudes

TITLE = "global magnitude"
CITATION = "han2015learning"
KIND = "weights"


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def select(scope: Scope, sparsities: Sequence[float]) -> Iterable[Selection]:
    """Remove the smallest |w| over all tensors together."""
    return smallest_magnitudes(scope.weights, sparsities)
