"""N:M by Wanda: the N largest |weight| times input norm of every M inputs (Sun et al. 2024)."""

from collections.abc import Mapping

from torch import Tensor

from analysis.calibration.inputs import Inputs
from analysis.checkpoints.naming import Weight
from analysis.pruning.calibrated import Kept
from analysis.pruning.groups import keep_largest_in_groups
from analysis.pruning.patterns import Pattern
from analysis.pruning.saliency import wanda

TITLE = "N:M Wanda"
CITATION = "sun2024wanda"
KIND = "calibrated"
LEVELS = "patterns"
PRODUCTS = False


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def quotas(shapes: Mapping[str, tuple[int, ...]], pattern: Pattern) -> dict[str, Pattern]:
    """The same pattern everywhere."""
    return dict.fromkeys(shapes, pattern)


def prune_matrix(weight: Tensor, inputs: Inputs, quota: Pattern) -> Kept:
    """Keep the most salient of each group of a matrix [out, in]."""
    return Kept(keep_largest_in_groups(wanda(weight, inputs), quota))
