"""SparseGPT: by layer, the kept weights make up for the removed (Frantar & Alistarh 2023)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from analysis.calibration.inputs import Inputs
from analysis.checkpoints.naming import Weight
from analysis.pruning import second_order
from analysis.pruning.calibrated import Kept
from analysis.pruning.rows import spread

TITLE = "SparseGPT"
CITATION = "frantar2023sparsegpt"
KIND = "calibrated"
PRODUCTS = True


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def quotas(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, NDArray[np.int64]]:
    """How many to remove of each block of columns, all rows together; the total exact."""
    widths = {name: second_order.blocks_of(cols) for name, (_, cols) in shapes.items()}
    sizes = [shapes[name][0] * width for name in shapes for width in widths[name]]
    counts, start, found = spread(sparsity, sizes), 0, {}
    for name in shapes:
        found[name] = counts[start : start + len(widths[name])]
        start += len(widths[name])
    return found


def prune_matrix(weight: Tensor, inputs: Inputs, quota: NDArray[np.int64]) -> Kept:
    """Remove what costs least of a matrix [out, in], and correct the rest."""
    factor = second_order.factor(inputs)
    mask, new = second_order.solve(weight, factor, quota)
    return Kept(mask, new, second_order.note(factor))
