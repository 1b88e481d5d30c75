"""Wanda: smallest |weight| times its input's norm, in each output row (Sun et al. 2024)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from analysis.calibration.inputs import Inputs
from analysis.checkpoints.naming import Weight
from analysis.pruning.calibrated import Kept
from analysis.pruning.rows import keep_largest_in_rows, removed_of_rows
from analysis.pruning.saliency import wanda
from analysis.pruning.selection import keys_of

TITLE = "Wanda"
CITATION = "sun2024wanda"
KIND = "calibrated"
PRODUCTS = False


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def quotas(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, NDArray[np.int64]]:
    """How many to remove of each output row: ⌊cols·s⌋ or one more, the total exact."""
    return removed_of_rows(shapes, sparsity)


def prune_matrix(weight: Tensor, inputs: Inputs, quota: NDArray[np.int64]) -> Kept:
    """Remove the least salient of each row of a matrix [out, in]; the others stay as they are."""
    scores = wanda(weight, inputs)
    return Kept(keep_largest_in_rows(keys_of(scores).reshape(scores.shape), quota))
