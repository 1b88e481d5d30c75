"""Scores as rank keys (see `kernels`), which order weights by what goes first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.engine.arrays import Array
from analysis.pruning.kernels import Keys


@dataclass(frozen=True)
class Ranking:
    """How the weights of a scope are ranked.

    keys    a tensor's keys by its name, in the tensor's shape; made anew each time
    value   the magnitude that a key stands for, or None if keys stand for none
    """

    keys: Callable[[str], Keys]
    value: Callable[[int], float | None]


def keys_of(saliency: Array) -> Keys:
    """Keys that order values as their magnitudes do, in the same shape; the top bit does not count.

    The bits of float32. Of float64, which has more than a key has room for, the ranks among the
    array's own magnitudes.
    """
    if saliency.dtype == np.float64:
        return ranks_of(saliency, magnitudes_of([saliency]))
    if saliency.dtype != np.float32:
        raise TypeError(f"{saliency.dtype} is not ranked; read weights as float32 or float64")
    return np.ascontiguousarray(saliency).view(np.uint32).reshape(saliency.shape)


def magnitudes_of(arrays: Iterable[Array]) -> NDArray[np.float64]:
    """The magnitudes that occur in these arrays, each once, rising."""
    flat = [np.abs(array, dtype=np.float64).reshape(-1) for array in arrays]
    return np.unique(np.concatenate(flat))


def ranks_of(values: Array, magnitudes: NDArray[np.float64]) -> Keys:
    """Where the magnitudes of these values stand among all that occur."""
    return np.searchsorted(magnitudes, np.abs(values, dtype=np.float64)).astype(np.uint32)
