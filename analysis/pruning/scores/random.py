"""A lot for each weight, drawn by the seed and the tensor's name."""

import zlib

import numpy as np

from analysis.pruning.kernels import Keys
from analysis.pruning.scope import Scope
from analysis.pruning.scores.ranking import Ranking


def random(scope: Scope) -> Ranking:
    """By numbers drawn once, whatever the level, so that levels are nested."""

    def keys(name: str) -> Keys:
        drawn = np.random.Generator(np.random.Philox([scope.seed, zlib.crc32(name.encode())]))
        return drawn.integers(0, 1 << 31, scope.weights[name].shape, dtype=np.uint32)

    return Ranking(keys, lambda key: None)
