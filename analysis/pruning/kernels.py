"""The loops over weights that selection needs, compiled; they let other threads run.

A weight's *rank key* is a uint32 that orders weights by what a method removes first: for magnitude
the 31 low bits of the float32, for any saliency that is not negative the bits of that.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

LOW_BITS = 15
HIGH_BINS = 1 << 16
LOW_BINS = 1 << LOW_BITS

Keys = NDArray[np.uint32]
_SHIFT = np.uint32(LOW_BITS)
_LOW = np.uint32(LOW_BINS - 1)
_SIGNLESS = np.uint32(0x7FFFFFFF)
_CHUNK = 1 << 14


@njit(nogil=True, cache=True)
def count_high(bits: Keys, counts: NDArray[np.int64]) -> None:
    """Count the keys (their top bit dropped) by their upper 16 bits. counts (65536,)."""
    for i in range(bits.size):
        counts[(bits[i] & _SIGNLESS) >> _SHIFT] += 1


@njit(nogil=True, cache=True)
def count_low(
    bits: Keys, wanted: NDArray[np.uint8], row: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Count the keys of wanted upper parts by their lower 15 bits.

    wanted (65536,) of 0 or 1; row (65536,): the row of `counts` (rows, 32768) of each.
    """
    found_here = np.empty(_CHUNK + 1, np.uint32)
    for start in range(0, bits.size, _CHUNK):
        found = np.int64(0)
        for i in range(start, min(start + _CHUNK, bits.size)):
            key = bits[i] & _SIGNLESS
            found_here[found] = key
            found += wanted[key >> _SHIFT]
        for j in range(found):
            key = found_here[j]
            counts[row[key >> _SHIFT], key & _LOW] += 1


@njit(nogil=True, cache=True)
def count_equal(bits: Keys, key: np.uint32) -> np.int64:
    """How many keys are this one."""
    equal = np.int64(0)
    for i in range(bits.size):
        equal += (bits[i] & _SIGNLESS) == key
    return equal


@njit(nogil=True, cache=True)
def pack_above(bits: Keys, key: np.uint32, ties: int, packed: NDArray[np.uint8]) -> None:
    """Write which keys are above this one, or are it and not among the first `ties` of these.

    packed (⌈n / 8⌉,): one bit a key, the first in the highest bit of a byte, as numpy packs.
    """
    for byte in range(packed.size):
        value = 0
        start = 8 * byte
        for i in range(start, min(start + 8, bits.size)):
            own = bits[i] & _SIGNLESS
            keep = own > key
            if own == key:
                keep = ties <= 0
                ties -= 1
            value |= keep << (7 - (i - start))
        packed[byte] = value
