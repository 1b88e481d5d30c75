"""The loops over weights that selection needs, compiled; they let other threads run.

A weight's *rank key* is a uint32 that orders weights by what a method removes first: for magnitude
the 31 low bits of the float32, for any saliency that is not negative the bits of that.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analysis.engine.compiled import kept

LOW_BITS = 15
HIGH_BINS = 1 << 16
LOW_BINS = 1 << LOW_BITS

Keys = NDArray[np.uint32]
_SHIFT = np.uint32(LOW_BITS)
_LOW = np.uint32(LOW_BINS - 1)
_SIGNLESS = np.uint32(0x7FFFFFFF)
_BIT = np.uint32(1)
_CHUNK = 1 << 14


@kept(njit, nogil=True)
def count_high(bits: Keys, counts: NDArray[np.int64]) -> None:
    """Count the keys (their top bit dropped) by their upper 16 bits. counts (65536,)."""
    for i in range(bits.size):
        counts[(bits[i] & _SIGNLESS) >> _SHIFT] += 1


@kept(njit, nogil=True)
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


@kept(njit, nogil=True)
def count_equal(bits: Keys, key: np.uint32) -> np.int64:
    """How many keys are this one."""
    equal = np.int64(0)
    for i in range(bits.size):
        equal += (bits[i] & _SIGNLESS) == key
    return equal


@kept(njit, nogil=True)
def pack_above(bits: Keys, key: np.uint32, ties: int, packed: NDArray[np.uint8]) -> None:
    """Write which keys are above this one, or are it and not among the first `ties` of these.

    packed (⌈n / 8⌉,): one bit a key, the first in the highest bit of a byte, as numpy packs.
    """
    whole = bits.size // 8
    for byte in range(whole):
        value = np.uint32(0)
        for i in range(8):
            value = value << _BIT | np.uint32(bits[8 * byte + i] & _SIGNLESS > key)
        packed[byte] = value
    if whole < packed.size:
        value = np.uint32(0)
        for i in range(8):
            place = 8 * whole + i
            keep = place < bits.size and bits[place] & _SIGNLESS > key
            value = value << _BIT | np.uint32(keep)
        packed[whole] = value
    if ties < bits.size:  # else all that have the key are removed
        for i in range(bits.size):
            if bits[i] & _SIGNLESS == key:
                if ties <= 0:
                    packed[i >> 3] |= np.uint8(128 >> (i & 7))
                ties -= 1


@kept(njit, nogil=True)
def zero_removed(numbers: NDArray[Any], packed: NDArray[np.uint8]) -> None:
    """Set the numbers (n,) to zero whose bit of packed (⌈n / 8⌉,) is not set."""
    for byte in range(packed.size):
        kept = packed[byte]
        if kept != 255:
            start = 8 * byte
            for i in range(start, min(start + 8, numbers.size)):
                if not kept & (128 >> (i - start)):
                    numbers[i] = 0


@kept(njit, nogil=True)
def keep_in_groups(
    keys: NDArray[np.uint32], kept: int, group: int, keep: NDArray[np.bool_]
) -> None:
    """In every `group` neighbours of each row of keys (rows, cols) keep the `kept` largest.

    Among equal keys the first go. What is left over at the end of a row is kept whole.
    keep (rows, cols) is written.
    """
    rows, cols = keys.shape
    whole = cols - cols % group
    for r in range(rows):
        for start in range(0, whole, group):
            for i in range(start, start + group):
                key = keys[r, i] & _SIGNLESS
                below = 0
                for j in range(start, start + group):
                    other = keys[r, j] & _SIGNLESS
                    below += other < key or (other == key and j < i)
                keep[r, i] = below >= group - kept
        for i in range(whole, cols):
            keep[r, i] = True
