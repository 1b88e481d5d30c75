"""Means and variances of what goes into matrices of a dense model."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.calibration.lockstep import blocks
from analysis.calibration.matrices import matrices
from analysis.pruning.calibrated import Calibration
from analysis.pruning.structured import Moments


def moments_of(
    loaded: Calibration, names: Sequence[str]
) -> tuple[dict[str, Moments], Mapping[str, Any]]:
    """Means and variances of what goes into these matrices of the dense model; and what is to be
    said of the batches that went through it."""
    model = loaded.load()
    batches = loaded.batches(model)
    with contextlib.closing(
        blocks(model, batches, matrices(model, names), products=False)
    ) as steps:
        moments = {
            name: Moments(inputs.mean.cpu().numpy(), inputs.variance.cpu().numpy())
            for found in steps
            for name, inputs in found.items()
        }
    return moments, loaded.facts(batches)
