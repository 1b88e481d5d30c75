"""|w| times the norm of its input: what a weight adds to its output."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from analysis.calibration.inputs import Inputs


def wanda(weight: Tensor, inputs: Inputs) -> NDArray[np.float32]:
    """|W_ij| · ‖X_j‖₂ of a matrix [out, in] (Sun et al. 2024, arXiv 2306.11695)."""
    return (weight.float().abs() * inputs.norms).cpu().numpy()
