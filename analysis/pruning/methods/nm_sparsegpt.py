"""N:M by SparseGPT: groups chosen from weights already corrected (Frantar & Alistarh 2023)."""

from collections.abc import Mapping

from torch import Tensor

from analysis.calibration.inputs import Inputs
from analysis.checkpoints.naming import Weight
from analysis.pruning import second_order
from analysis.pruning.calibrated import Kept
from analysis.pruning.patterns import Pattern

TITLE = "N:M SparseGPT"
CITATION = "frantar2023sparsegpt"
KIND = "calibrated"
LEVELS = "patterns"
PRODUCTS = True


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def quotas(shapes: Mapping[str, tuple[int, ...]], pattern: Pattern) -> dict[str, Pattern]:
    """The same pattern everywhere."""
    return dict.fromkeys(shapes, pattern)


def prune_matrix(weight: Tensor, inputs: Inputs, quota: Pattern) -> Kept:
    """Remove what costs least of each group of a matrix [out, in], and correct the rest."""
    factor = second_order.factor(inputs)
    mask, new = second_order.solve_groups(weight, factor, quota)
    return Kept(mask, new, second_order.note(factor))
