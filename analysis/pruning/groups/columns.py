"""Blocks of neighbouring columns of a matrix [out, in], all rows together."""

import numpy as np
from numpy.typing import NDArray

from analysis.engine.arrays import Mask
from analysis.pruning.groups.matrix import MATRIX
from analysis.pruning.groups.within import Within
from analysis.pruning.kernels import Keys

BLOCK = 128  # columns that are chosen together


def _sizes(shape: tuple[int, ...]) -> list[int]:
    rows, columns = shape
    return [rows * min(BLOCK, columns - start) for start in range(0, columns, BLOCK)]


def _keep(keys: Keys, removed: NDArray[np.int64]) -> Mask:
    blocks = np.split(keys, range(BLOCK, keys.shape[1], BLOCK), axis=1)
    return np.hstack([MATRIX.keep(b, n[None]) for b, n in zip(blocks, removed, strict=True)])


COLUMNS = Within(_sizes, _keep)
