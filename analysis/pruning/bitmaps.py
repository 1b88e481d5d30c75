"""Masks of one bit a weight, in numpy's order: the first weight in the highest bit of a byte."""

import math
from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from analysis.engine.arrays import Mask

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


class BitMasks(Mapping[str, Mask]):
    """Masks that are kept packed, an eighth of their size."""

    def __init__(self) -> None:
        self._bits: dict[str, tuple[Packed, tuple[int, ...]]] = {}

    def add(self, name: str, mask: Mask) -> None:
        """Keep the mask of that name."""
        self._bits[name] = np.packbits(mask.reshape(-1)), mask.shape

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._bits))

    def __len__(self) -> int:
        return len(self._bits)

    def __contains__(self, name: object) -> bool:
        return name in self._bits

    def __getitem__(self, name: str) -> Mask:
        bits, shape = self._bits[name]
        return unpacked(bits, math.prod(shape)).reshape(shape)

    def packed(self, name: str) -> Packed:
        """The mask of that name, packed."""
        return self._bits[name][0]
