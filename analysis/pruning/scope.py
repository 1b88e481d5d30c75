"""The weights that a method may remove, as it is handed them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.engine.arrays import Array

Matrix = TypeVar("Matrix", bound=NDArray[np.generic])


@dataclass(frozen=True)
class Scope:
    """Tensors by sorted name, as they are stored, and how they are stored.

    by_input   names of the matrices that are stored [in, out] (see `checkpoints.axes`); all others
               are [out, in]
    seed       for methods that draw
    """

    weights: Mapping[str, Array]
    by_input: frozenset[str] = frozenset()
    seed: int = 0

    def outputs_first(self, name: str, stored: Matrix) -> Matrix:
        """A matrix as [out, in], given as that tensor is stored; and back, which is the same.

        What has more than two axes (a stack of experts' matrices) is taken as rows of its last.
        """
        if name in self.by_input:
            return stored.swapaxes(-1, -2)
        return stored
