"""Leaves and checkpoints of arrays in memory, for tests of their statistics."""

from pathlib import Path

import numpy as np

from analysis.checkpoints.tensors import BY_NAME, Checkpoint, Tensor
from analysis.profile.leaf import measure


def measured(values):
    """The leaf of an array in memory, of any shape."""
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    return measure(lambda: [flat])


def statistics(values):
    """The row of statistics of an array in memory."""
    return measured(values).row


def normal(size=20_000, scale=0.02, seed=0):
    """Normally distributed weights."""
    return (scale * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def in_memory(arrays):
    """A checkpoint of arrays in memory."""
    tensors = {}
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        tensors[name] = Tensor(
            name,
            BY_NAME[str(array.dtype)],
            arrays[name].shape,  # numpy makes a contiguous scalar an array of one
            Path(),
            array.nbytes,
            memory=array.reshape(-1).view(np.uint8),
        )
    return Checkpoint(Path(), tensors)
