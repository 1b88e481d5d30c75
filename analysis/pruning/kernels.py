"""The loops over weights that selection needs, compiled; they let other threads run.

A weight's *rank key* is a uint32 that orders weights by what a method removes first: for magnitude
the 31 low bits of the float32, for any saliency that is not negative the bits of that.
"""

from typing import Any

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
_BIT = np.uint32(1)
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


@njit(nogil=True, cache=True)
def zero_removed(numbers: NDArray[Any], packed: NDArray[np.uint8]) -> None:
    """Set the numbers (n,) to zero whose bit of packed (⌈n / 8⌉,) is not set."""
    for byte in range(packed.size):
        kept = packed[byte]
        if kept != 255:
            start = 8 * byte
            for i in range(start, min(start + 8, numbers.size)):
                if not kept & (128 >> (i - start)):
                    numbers[i] = 0


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def sweep(
    weight: NDArray[np.float32],
    keep: NDArray[np.bool_],
    factor: NDArray[np.float32],
    errors: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """SparseGPT's inner loop: remove what `keep` says in columns [start, stop), left to right.

    weight, keep (rows, cols) and errors (rows, stop - start) are written; factor (cols, cols) is
    the upper Cholesky factor of the inverse Hessian. What a removed weight did is made up for by
    the weights to its right in the block.
    """
    for r in range(weight.shape[0]):
        for i in range(start, stop):
            if keep[r, i]:
                errors[r, i - start] = 0
                continue
            error = weight[r, i] / factor[i, i]
            errors[r, i - start] = error
            for j in range(i + 1, stop):
                weight[r, j] -= error * factor[i, j]
            weight[r, i] = 0


@njit(nogil=True, cache=True)
def sweep_groups(
    weight: NDArray[np.float32],
    keep: NDArray[np.bool_],
    factor: NDArray[np.float32],
    errors: NDArray[np.float32],
    start: int,
    stop: int,
    kept: int,
    group: int,
) -> None:
    """The same, choosing in each group of each row when it is reached, by w² / U_jj².

    start and stop are at the ends of groups, or stop is the last column; among equals the first go.
    """
    for r in range(weight.shape[0]):
        for i in range(start, stop):
            if i % group == 0:
                if i + group > stop:  # what is left over at the end of a row is kept whole
                    for j in range(i, stop):
                        keep[r, j] = True
                else:
                    for j in range(i, i + group):
                        saliency = abs(weight[r, j] / factor[j, j])
                        below = 0
                        for k in range(i, i + group):
                            other = abs(weight[r, k] / factor[k, k])
                            below += other < saliency or (other == saliency and k < j)
                        keep[r, j] = below >= group - kept
            if keep[r, i]:
                errors[r, i - start] = 0
                continue
            error = weight[r, i] / factor[i, i]
            errors[r, i - start] = error
            for j in range(i + 1, stop):
                weight[r, j] -= error * factor[i, j]
            weight[r, i] = 0
