"""The loops over weights, compiled: each takes one block of float32 and lets other threads run."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analysis.engine.arrays import Array
from analysis.engine.compiled import kept

_SHIFT = np.uint32(16)
_LOW = np.uint32(0xFFFF)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_INFINITY = np.uint32(0x7F800000)
_ONE = np.uint32(1)
_STRIDE = 256  # counts summed at once while looking for a rank
_CHUNK = 1 << 14  # its candidates stay in the first-level cache


@kept(njit, nogil=True)
def count_bins(
    values: NDArray[np.float32],
    bits: NDArray[np.uint32],
    counts: NDArray[np.int64],
    squares: NDArray[np.float64],
) -> None:
    """Count each weight by its bin (65536,) and add its square to that of |w|'s bin (32768,)."""
    for i in range(bits.size):
        u = bits[i]
        x = np.float64(values[i])
        counts[u >> _SHIFT] += 1
        squares[(u & _MAGNITUDE) >> _SHIFT] += x * x


# Sums may be taken in any order, so that they run in vector lanes, but NaN stays NaN.
@kept(njit, nogil=True, fastmath={"reassoc", "contract"})
def power_sums(
    values: NDArray[np.float32], bits: NDArray[np.uint32], shift: float
) -> tuple[float, float, float, float, float]:
    """Sums over the finite weights: of w - shift to the powers 1 to 4, and of |w|."""
    one = two = three = four = absolute = 0.0
    for i in range(values.size):
        finite = (bits[i] & _MAGNITUDE) < _INFINITY
        x = np.float64(values[i]) if finite else shift
        d = x - shift
        d2 = d * d
        one += d
        two += d2
        three += d2 * d
        four += d2 * d2
        absolute += abs(x) if finite else 0.0
    return one, two, three, four, absolute


@kept(njit, nogil=True)
def count_values(
    bits: NDArray[np.uint32],
    wanted: NDArray[np.uint8],
    row: NDArray[np.int64],
    detail: NDArray[np.uint32],
) -> None:
    """Count the weights of wanted bins by their exact value.

    bits (n,); wanted (65536,) of 0 or 1; row (65536,): each wanted bin's row of `detail`
    (rows, 65536), whose columns are the low 16 bits.

    A weight is noted without a branch and kept by moving on, which is three times as fast as
    asking: wanted bins are few, but not few enough for a processor to guess right.
    """
    candidates = np.empty(_CHUNK + 1, np.uint32)
    for start in range(0, bits.size, _CHUNK):
        found = np.int64(0)
        for i in range(start, min(start + _CHUNK, bits.size)):
            u = bits[i]
            candidates[found] = u
            found += wanted[u >> _SHIFT]
        for j in range(found):
            u = candidates[j]
            detail[row[u >> _SHIFT], u & _LOW] += _ONE


@kept(njit, nogil=True)
def first_exceeding(counts: NDArray[np.uint32], number: int) -> int:
    """The first place at which the counts up to and with it add up to more than `number`."""
    total, start = np.int64(0), 0
    while start < counts.size - 1:
        step = np.int64(counts[start : start + _STRIDE].sum())
        if total + step > number:
            break
        total += step
        start += _STRIDE
    for i in range(start, counts.size):
        total += np.int64(counts[i])
        if total > number:
            return i
    return counts.size - 1


@kept(njit, nogil=True)
def largest_holding(
    positive: NDArray[np.uint32],
    negative: NDArray[np.uint32],
    lowest: float,
    step: float,
    missing: float,
) -> np.int64:
    """How many of a bin's weights, the largest first, have squares that add up to `missing`.

    positive, negative (65536,): counts by the low 16 bits, i standing for lowest + i * step.
    """
    held, number = 0.0, np.int64(0)
    for i in range(positive.size - 1, -1, -1):
        count = np.int64(positive[i]) + np.int64(negative[i])
        square = (lowest + i * step) ** 2
        if count == 0 or square == 0.0:
            continue
        if held + count * square >= missing:
            return number + min(
                count, max(np.int64(1), np.int64(np.ceil((missing - held) / square)))
            )
        held += count * square
        number += count
    return number  # all of them: the sums differ in their last digits


def bits_of(values: Array) -> NDArray[np.uint32]:
    """The bits of contiguous float32 values."""
    return values.view(np.uint32)
