"""A matrix by its rows: where each begins, the columns that are not zero, and what stands there.

Compressed sparse rows. An array of any shape is seen as the matrix [first axis, all others]; what
has one axis or none is one row.
"""

import math

import numpy as np
from numpy.typing import NDArray

from analysis.storage import kernels
from analysis.storage.kernels import Numbers
from analysis.storage.pieces import over, pieces

_LEAST = 1 << 17  # numbers worth a thread
_WIDEST_POINTER = 2**31 - 1


def matrix_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of the matrix that an array of this shape is seen as."""
    rows = shape[0] if len(shape) > 1 else 1
    return rows, math.prod(shape) // rows if rows else 0


def pointer(nonzeros: int) -> type[np.int32] | type[np.int64]:
    """The type of the row pointers, as narrow as the number of non-zeros allows."""
    return np.int32 if nonzeros <= _WIDEST_POINTER else np.int64


def packed(
    numbers: Numbers, column: type[np.generic]
) -> tuple[NDArray[np.signedinteger], Numbers, Numbers]:
    """Row pointers (rows + 1,), columns and values (non-zeros,) of numbers (rows, columns).

    column   the type of the columns, wide enough for them (checked before)
    """
    rows, width = numbers.shape
    counts = np.empty(rows, np.int64)
    kernels.count_rows(numbers, counts)
    places = np.concatenate([[0], np.cumsum(counts)])
    nonzeros = int(places[-1])
    columns, values = np.empty(nonzeros, column), np.empty(nonzeros, numbers.dtype)

    def pack(piece: tuple[int, int]) -> None:
        start, stop = piece
        there = slice(places[start], places[stop])
        kernels.to_rows(numbers[start:stop], columns[there], values[there])

    over(pack, _pieces(rows, width))
    return places.astype(pointer(nonzeros)), columns, values


def unpacked(
    rows: NDArray[np.signedinteger], columns: Numbers, values: Numbers, width: int
) -> Numbers:
    """The numbers (rows, width) of which `packed` made these.

    Raises ValueError if the pointers do not rise from 0 to the number of values, or the columns
    of a row do not rise within it.
    """
    if rows[0] != 0 or rows[-1] != values.size or bool((rows[1:] < rows[:-1]).any()):
        raise ValueError(f"its row pointers do not rise from 0 to {values.size}")
    numbers = np.zeros((rows.size - 1, width), values.dtype)

    def unpack(piece: tuple[int, int]) -> bool:
        start, stop = piece
        there = rows[start : stop + 1]
        good = kernels.in_order(there, columns, width)
        if good:  # only now is it known that they lead nowhere else
            kernels.from_rows(there, columns, values, numbers[start:stop])
        return good

    if not all(over(unpack, _pieces(rows.size - 1, width))):
        raise ValueError(f"the columns of a row do not rise, or are not below {width}")
    return numbers


def _pieces(rows: int, width: int) -> list[tuple[int, int]]:
    return pieces(rows, max(1, _LEAST // max(1, width)))
