"""Masks of one bit a weight, in numpy's order: the first weight in the highest bit of a byte."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import Mask

Packed = NDArray[np.uint8]


@runtime_checkable
class PackedMasks(Protocol):
    """Masks that can be had packed without being unpacked first."""

    def packed(self, name: str) -> Packed: ...


def packed(masks: Mapping[str, Mask], name: str) -> Packed:
    """The mask of that name, packed."""
    if isinstance(masks, PackedMasks):
        return masks.packed(name)
    return np.packbits(masks[name].reshape(-1))


def unpacked(bits: Packed, size: int) -> Mask:
    """The mask of `size` weights, flat; True keeps."""
    return np.unpackbits(bits, count=size).view(np.bool_)
