"""No update: what stays is as it was."""

from types import ModuleType
from typing import Any

from torch import Tensor

from analysis.calibration.inputs import Inputs
from analysis.pruning.scores.ranking import keys_of
from analysis.pruning.updates import Kept

PRODUCTS = False


def prune(method: ModuleType, weight: Tensor, inputs: Inputs, quota: Any) -> Kept:
    """Remove what scores least in each group of the method."""
    return Kept(method.GROUP.keep(keys_of(method.SCORE(weight, inputs)), quota))
