"""Masks of one bit a weight, in numpy's order: the first weight in the highest bit of a byte."""

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import Mask

Packed = NDArray[np.uint8]


def unpacked(bits: Packed, size: int) -> Mask:
    """The mask of `size` weights, flat; True keeps."""
    return np.unpackbits(bits, count=size).view(np.bool_)
