"""The loops that take zeros out of tensors and put them back, compiled; other threads may run.

`numbers` are a tensor's elements seen as unsigned integers: zero is all bits zero. Which of them
are zero is found 64 at a time without a branch, as the bits of a *word*, the first in the highest;
then the loop goes from one set bit to the next, so that zeros cost nothing more.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from analysis.engine.compiled import kept

Numbers = NDArray[Any]  # uint8, uint16, uint32 or uint64
Words = NDArray[np.uint64]

_WORD = 64
_CHUNK = 1 << 12  # numbers whose words stay in the first-level cache
_ONE = np.uint64(1)
_BYTE = np.uint64(8)
_HIGHEST_BYTE = np.uint64(56)
# eight bytes of 0 or 1 times this have them as the bits of the highest byte, the first on top
_GATHER = np.uint64(sum(1 << 9 * i for i in range(8)) & (1 << 64) - 1)


def _generate_lowest(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))


def _generate_reversed(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.bitreverse(arguments[0])


# (word) -> the place of the lowest set bit of a word that is not zero
_lowest: Any = intrinsic(lambda context, word: (types.int64(types.uint64), _generate_lowest))
# (word) -> its bits in reverse, so that the first number's is the lowest: dropping that is quickest
_reversed: Any = intrinsic(lambda context, word: (types.uint64(types.uint64), _generate_reversed))


@kept(njit, nogil=True)
def _find(numbers: Numbers, flags: NDArray[np.uint8], words: Words) -> None:
    """Write to words (⌈n / 64⌉,) which numbers (n,), 4096 at most, are not zero.

    flags (4096,) is overwritten.
    """
    for i in range(numbers.size):
        flags[i] = numbers[i] != 0
    for i in range(numbers.size, -(-numbers.size // _WORD) * _WORD):
        flags[i] = 0
    eights = flags.view(np.uint64)
    for w in range(-(-numbers.size // _WORD)):
        word = np.uint64(0)
        for i in range(8):
            word = word << _BYTE | (eights[8 * w + i] * _GATHER) >> _HIGHEST_BYTE
        words[w] = word


@kept(njit, nogil=True)
def count(numbers: Numbers) -> np.int64:
    """How many numbers are not zero."""
    found = np.int64(0)
    for i in range(numbers.size):
        found += numbers[i] != 0
    return found


@kept(njit, nogil=True)
def count_rows(numbers: Numbers, counts: NDArray[np.int64]) -> None:
    """Write how many of each row of numbers (rows, columns) are not zero to counts (rows,)."""
    for r in range(numbers.shape[0]):
        counts[r] = count(numbers[r])


@kept(njit, nogil=True)
def pack(numbers: Numbers, bits: NDArray[np.uint8], values: Numbers) -> None:
    """Write which numbers (n,) are not zero, and these.

    bits (⌈n / 8⌉,): the first number in the highest bit of a byte, as numpy packs
    values (non-zeros,)
    """
    flags, words = np.empty(_CHUNK, np.uint8), np.empty(_CHUNK // _WORD, np.uint64)
    place = np.int64(0)
    for start in range(0, numbers.size, _CHUNK):
        part = numbers[start : start + _CHUNK]
        _find(part, flags, words)
        for w in range(-(-part.size // _WORD)):
            word = words[w]
            first = (start + _WORD * w) >> 3
            if first + 8 <= bits.size:
                for i in range(8):
                    bits[first + i] = word >> np.uint64(56 - 8 * i)
            else:
                for i in range(bits.size - first):
                    bits[first + i] = word >> np.uint64(56 - 8 * i)
            left = _reversed(word)
            while left:
                values[place] = part[_WORD * w + _lowest(left)]
                place += 1
                left &= left - _ONE


@kept(njit, nogil=True)
def unpack(bits: NDArray[np.uint8], values: Numbers, numbers: Numbers) -> None:
    """Write the values where bits are set, and zero elsewhere, to numbers (n,).

    bits (⌈n / 8⌉,): as many are set as there are values, none beyond n (checked before: not here)
    """
    place = np.int64(0)
    for w in range(numbers.size // _WORD):
        word = np.uint64(0)
        for i in range(8):
            word = word << _BYTE | np.uint64(bits[8 * w + i])
        for i in range(_WORD):  # not a slice: the compiler is to know how many
            numbers[_WORD * w + i] = 0
        left = _reversed(word)
        while left:
            numbers[_WORD * w + _lowest(left)] = values[place]
            place += 1
            left &= left - _ONE
    for i in range(numbers.size // _WORD * _WORD, numbers.size):
        numbers[i] = 0
        if bits[i >> 3] & (128 >> (i & 7)):
            numbers[i] = values[place]
            place += 1


@kept(njit, nogil=True)
def to_rows(numbers: Numbers, columns: Numbers, values: Numbers) -> None:
    """Write the columns of the non-zero numbers (rows, columns), row after row, and these.

    columns, values (non-zeros,)
    """
    flags, words = np.empty(_CHUNK, np.uint8), np.empty(_CHUNK // _WORD, np.uint64)
    place = np.int64(0)
    for r in range(numbers.shape[0]):
        for start in range(0, numbers.shape[1], _CHUNK):
            part = numbers[r, start : start + _CHUNK]
            _find(part, flags, words)
            for w in range(-(-part.size // _WORD)):
                left = _reversed(words[w])
                while left:
                    at = _WORD * w + _lowest(left)
                    columns[place] = start + at
                    values[place] = part[at]
                    place += 1
                    left &= left - _ONE


@kept(njit, nogil=True)
def in_order(rows: Numbers, columns: Numbers, width: int) -> bool:
    """Whether the columns of each row rise and are below `width`.

    rows (rows + 1,): where each begins and ends among the columns (checked before: not here)
    """
    wrong = np.int64(0)
    for r in range(rows.size - 1):
        start, stop = rows[r], rows[r + 1]
        if start < stop:
            wrong += (columns[start] < 0) | (columns[stop - 1] >= width)
        before, after = columns[start : stop - 1], columns[start + 1 : stop]
        for i in range(after.size):
            wrong += after[i] <= before[i]
    return wrong == 0


@kept(njit, nogil=True)
def from_rows(rows: Numbers, columns: Numbers, values: Numbers, numbers: Numbers) -> None:
    """Write the values to their places in numbers (rows, columns), which are zero.

    rows (rows + 1,): where each begins and ends among columns and values (checked before)
    """
    for r in range(rows.size - 1):
        row = numbers[r]
        for i in range(rows[r], rows[r + 1]):
            row[np.uint32(columns[i])] = values[i]  # unsigned: it does not count from the end
