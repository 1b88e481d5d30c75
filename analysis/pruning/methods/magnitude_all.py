"""The homework's method: global magnitude over every tensor called `weight`.

That is what `torch.nn.utils.prune.global_unstructured` was given there: embeddings, norms and
heads included. Biases stay.
"""

from collections.abc import Iterable, Sequence

from analysis.checkpoints.naming import Weight
from analysis.pruning.scope import Scope
from analysis.pruning.selection import Selection, smallest_magnitudes

TITLE = "global magnitude, all weights"
CITATION = "paszke2019pytorch"
KIND = "weights"


def in_scope(weight: Weight) -> bool:
    """Every parameter named `weight`, whatever its layer."""
    return weight.name.rsplit(".", 1)[-1] == "weight"


def select(scope: Scope, sparsities: Sequence[float]) -> Iterable[Selection]:
    """Remove the smallest |w| over all tensors together."""
    return smallest_magnitudes(scope.weights, sparsities)
