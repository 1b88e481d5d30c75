"""Each matrix for itself."""

import math

import numpy as np
from numpy.typing import NDArray

from analysis.engine.arrays import Mask
from analysis.pruning.groups.row import ROW
from analysis.pruning.groups.within import Within
from analysis.pruning.kernels import Keys


def _keep(keys: Keys, removed: NDArray[np.int64]) -> Mask:
    return ROW.keep(keys.reshape(1, -1), removed).reshape(keys.shape)


MATRIX = Within(lambda shape: [math.prod(shape)], _keep, as_stored=True)
