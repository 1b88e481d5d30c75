"""|w|, which needs nothing but the weights."""

import numpy as np

from analysis.pruning.scope import Scope
from analysis.pruning.scores.ranking import Ranking, keys_of, magnitudes_of, ranks_of


def magnitude(scope: Scope) -> Ranking:
    """By |w|, exactly, in float64 too; zeros count."""
    weights = scope.weights
    if not any(array.dtype == np.float64 for array in weights.values()):
        return Ranking(
            lambda name: keys_of(weights[name]), lambda key: float(np.uint32(key).view(np.float32))
        )
    known = magnitudes_of(weights.values())
    return Ranking(lambda name: ranks_of(weights[name], known), lambda key: float(known[key]))
