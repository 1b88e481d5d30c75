"""Leaves of arrays in memory, for tests of their statistics."""

import numpy as np

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
