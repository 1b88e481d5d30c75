"""The weights that a method may remove, as it is handed them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import Array

Matrix = TypeVar("Matrix", bound=NDArray[np.generic])


@dataclass(frozen=True)
class Scope:
    """Tensors by sorted name, as they are stored, and how they are stored.

    by_input   names of the matrices that are stored [in, out], as GPT-2's Conv1D does; all other
               matrices are [out, in]
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
            return stored.T
        return stored


def stored_by_input(shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """The names of the matrices that are stored [in, out]: those of GPT-2's Conv1D.

    Other models have linear layers of the same names (GPT-Neo's `c_fc`), so it is told by the shape
    of the matrix that goes into the feed-forward layer of any block: its longer side is out.
    """
    wide = [shape for name, shape in shapes.items() if name.endswith("mlp.c_fc.weight")]
    if not wide or wide[0][0] >= wide[0][1]:
        return frozenset()
    ends = ("c_fc.weight", "c_proj.weight", "c_attn.weight", "q_attn.weight")
    return frozenset(name for name in shapes if name.endswith(ends))
