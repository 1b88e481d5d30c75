"""A tensor as one bit an element, and the elements that are not zero; on all cores."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.storage import kernels
from analysis.storage.kernels import Numbers
from analysis.storage.pieces import over, pieces

Bits = NDArray[np.uint8]

_LEAST = 1 << 17  # numbers worth a thread; a multiple of 8, so that no byte is two threads'


def counted(numbers: Numbers) -> list[int]:
    """How many of numbers (n,) are not zero, piece by piece."""
    # no threads: counting is as fast as memory
    return [int(kernels.count(numbers[slice(*piece)])) for piece in _pieces(numbers.size)]


def packed(numbers: Numbers, counts: Sequence[int]) -> tuple[Bits, Numbers]:
    """The bits (⌈n / 8⌉,) of numbers (n,), and those that are not zero; `counts` are `counted`.

    The first number is in the highest bit of a byte, as numpy packs; what is left of the last
    byte is zero.
    """
    bits = np.empty(-(-numbers.size // 8), np.uint8)
    values = np.empty(sum(counts), numbers.dtype)

    def pack(piece: tuple[tuple[int, int], tuple[int, int]]) -> None:
        (start, stop), (first, last) = piece
        kernels.pack(numbers[start:stop], bits[_bytes(start, stop)], values[first:last])

    over(pack, list(zip(_pieces(numbers.size), _places(counts), strict=True)))
    return bits, values


def unpacked(bits: Bits, values: Numbers, size: int) -> Numbers:
    """The `size` numbers of which `packed` made these.

    Raises ValueError if bits are set beyond them, or not as many as there are values.
    """
    counts = [_set(bits[_bytes(*piece)]) for piece in _pieces(size)]
    _require(bits, size, sum(counts), values.size)
    numbers = np.empty(size, values.dtype)

    def unpack(piece: tuple[tuple[int, int], tuple[int, int]]) -> None:
        (start, stop), (first, last) = piece
        kernels.unpack(bits[_bytes(start, stop)], values[first:last], numbers[start:stop])

    over(unpack, list(zip(_pieces(size), _places(counts), strict=True)))
    return numbers


def packed_truths(truths: Numbers) -> Bits:
    """The bits (⌈n / 8⌉,) of truths (n,), each 0 or 1, which need no values."""
    return np.packbits(truths)


def unpacked_truths(bits: Bits, nonzeros: int, size: int) -> Numbers:
    """The `size` truths of which `packed_truths` made these bits. Raises ValueError as `unpacked`,
    given how many are true."""
    _require(bits, size, _set(bits), nonzeros)
    return np.unpackbits(bits, count=size)


def _require(bits: Bits, size: int, there: int, wanted: int) -> None:
    if size % 8 and bits[-1] & (255 >> size % 8):
        raise ValueError("bits are set beyond its last element")
    if there != wanted:
        raise ValueError(f"{there} bits are set for {wanted} values")


def _pieces(size: int) -> list[tuple[int, int]]:
    return pieces(size, _LEAST)


def _bytes(start: int, stop: int) -> slice:
    """The bytes that hold the bits of elements `start` to `stop`."""
    return slice(start // 8, -(-stop // 8))


def _places(counts: Sequence[int]) -> list[tuple[int, int]]:
    """Where each piece's values begin and end."""
    return list(pairwise(accumulate(counts, initial=0)))


def _set(bits: Bits) -> int:
    return int(np.bitwise_count(bits).sum(dtype=np.int64))
