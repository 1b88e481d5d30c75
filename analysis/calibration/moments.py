"""Means and variances of what goes into matrices of a dense model."""

import contextlib
from collections.abc import Sequence

from analysis.calibration.lockstep import blocks
from analysis.calibration.matrices import matrices
from analysis.pruning.calibrated import Calibration
from analysis.pruning.structured import Moments


def moments_of(loaded: Calibration, names: Sequence[str]) -> dict[str, Moments]:
    """Means and variances of what goes into these matrices of the dense model."""
    model = loaded.load()
    with contextlib.closing(
        blocks(model, loaded.batches(model), matrices(model, names), products=False)
    ) as steps:
        return {
            name: Moments(inputs.mean.cpu().numpy(), inputs.variance.cpu().numpy())
            for found in steps
            for name, inputs in found.items()
        }
