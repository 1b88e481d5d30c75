"""Floats by their bits: a 32-bit float's high 16 bits are its *bin*.

The 31 low bits of a float32 order as its magnitude does. A bin is a sign, the exponent and seven
bits of the mantissa, so bins are 0.8 % wide; 65,536 of them hold every float32. Non-negative bins
come first (0 to 32,767, growing), then negative ones (32,768 to 65,535, growing in magnitude).
"""

import functools

import numpy as np
from numpy.typing import NDArray

BINS = 1 << 16
MAGNITUDES = 1 << 15  # bins of |w|
FINITE = 0x7F80  # bins of |w| from here on hold infinity and NaN
_LARGEST = float(np.finfo(np.float32).max)  # as numpy's own it would narrow what it is compared to

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# the finite bins in the order of their values: from the most negative to the largest
IN_ORDER = np.concatenate(
    [np.arange(MAGNITUDES + FINITE - 1, MAGNITUDES - 1, -1), np.arange(FINITE)]
)


@functools.cache
def magnitude_edges() -> Floats:
    """The FINITE + 1 edges of the finite bins of |w|, ascending from 0; the last is 2^128."""
    bits = np.arange(FINITE, dtype=np.uint32) << np.uint32(16)
    edges = np.append(bits.view(np.float32).astype(np.float64), 2.0**128)
    edges.flags.writeable = False  # it is handed to everyone
    return edges


def threshold_bits(cutoff: float) -> int:
    """The bits of the smallest float32 that is not below `cutoff` (≥ 0), or infinity's.

    A weight's magnitude is below the cutoff if and only if its bits are below these.
    """
    if cutoff > _LARGEST:
        return FINITE << 16
    nearest = np.float32(cutoff)
    bits = int(nearest.view(np.uint32))
    return bits + 1 if float(nearest) < cutoff else bits


def threshold_bits_above(cutoff: float) -> int:
    """The bits of the smallest float32 that is above `cutoff` (≥ 0), or infinity's."""
    if cutoff >= _LARGEST:
        return FINITE << 16
    bits = threshold_bits(cutoff)
    value = float(np.uint32(bits).view(np.float32))
    return bits + 1 if value == cutoff else bits


def magnitude_counts(counts: Counts) -> Counts:
    """Counts by the finite bins of |w| from counts by bin."""
    return counts[:FINITE] + counts[MAGNITUDES : MAGNITUDES + FINITE]
