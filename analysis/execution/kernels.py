"""Sparse matrix times dense activations on the CPU, from CSR, in float32.

A piece of work is a tile of some tokens by some rows of the matrix. The tile's activations are laid
out as [column, token]; then a row of the matrix runs over them with its sums in registers, one load
a multiplication. That inner loop is given to the compiler as vector code: a loop over an array in
memory would store and load each sum again for every non-zero.
"""

import ctypes
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import carray
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from analysis.engine.compiled import kept
from analysis.execution import pool

_intrinsic: Any = intrinsic  # its stubs take what it makes for the function that it is made of

LANES = 16  # floats of a vector; narrower machines take several registers for one
WIDTHS = (1, 2, 4, 8)  # vectors of a tile
_STRIP = LANES  # rows whose sums are held at a time
_CACHED = 200_000  # floats of a tile that a core's second-level cache holds beside the rest
_PIECES = 4  # of work for each thread, so that none waits long for another
_FEWEST_ROWS = 64  # of a piece: each lays its tile out for itself

_NEXT, _POINTERS, _COLUMNS, _VALUES, _BIAS, _X, _OUT = range(7)
_HEIGHT, _WIDTH, _TOKENS, _VECTORS, _ROWS, _DONE = range(7, 13)
_FIELDS = 13


@_intrinsic
def _address(typing, number):  # type: ignore[no-untyped-def]
    """The number as a pointer."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(number), generate


@_intrinsic
def _taken(typing, counters):  # type: ignore[no-untyped-def]
    """counters[0], which is one more for whoever asks next, on any thread."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counters), generate


def _row_over_tile(vectors: int) -> Any:
    """out[: 16·vectors] = bias + Σ values[k] · tile[columns[k]·16·vectors …],
    k from start to end."""

    @_intrinsic
    def row_over_tile(  # type: ignore[no-untyped-def]
        typing, values, columns, start, end, tile, bias, out
    ):
        wide, lane = ir.IntType(64), ir.IntType(32)
        vector = ir.VectorType(ir.FloatType(), LANES)
        nothing = ir.Constant(vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(lane, LANES), [0] * LANES)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            def data(i: int) -> Any:
                return context.make_array(signature.args[i])(context, builder, arguments[i]).data

            def spread(number: Any) -> Any:
                first = builder.insert_element(nothing, number, ir.Constant(lane, 0))
                return builder.shuffle_vector(first, nothing, everywhere)

            def nth(base: Any, i: int) -> Any:
                place = builder.gep(base, [ir.Constant(wide, i * LANES)])
                return builder.bitcast(place, vector.as_pointer())

            of_values, of_columns, tile = data(0), data(1), data(4)
            target = data(6)
            sums = [cgutils.alloca_once(builder, vector) for _ in range(vectors)]
            for total in sums:
                builder.store(spread(arguments[5]), total)
            start, end, one = arguments[2], arguments[3], ir.Constant(wide, 1)
            with cgutils.for_range_slice(builder, start, end, one, wide) as (k, _):
                weight = spread(builder.load(builder.gep(of_values, [k])))
                column = builder.zext(builder.load(builder.gep(of_columns, [k])), wide)
                row = builder.gep(tile, [builder.mul(column, ir.Constant(wide, LANES * vectors))])
                for i, total in enumerate(sums):
                    inputs = builder.load(nth(row, i), align=4)
                    product = builder.fmul(inputs, weight, flags=("contract",))
                    added = builder.fadd(builder.load(total), product, flags=("contract",))
                    builder.store(added, total)
            for i, total in enumerate(sums):
                builder.store(builder.load(total), nth(target, i), align=4)
            return context.get_dummy_value()

        return types.void(values, columns, start, end, tile, bias, out), generate

    return row_over_tile


_row_of_1, _row_of_2, _row_of_4, _row_of_8 = (_row_over_tile(vectors) for vectors in WIDTHS)


@_intrinsic
def _turn_block(  # type: ignore[no-untyped-def]
    typing, source, source_place, source_stride, target, target_place, target_stride
):
    """target[place + j·stride + i] = source[place + i·stride + j] for i, j below 16."""
    wide, lane = ir.IntType(64), ir.IntType(32)
    vector, mask = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(lane, LANES)
    # two rows dealt together like cards, their first and their second halves
    halves = [
        ir.Constant(mask, [place // 2 + start + LANES * (place % 2) for place in range(LANES)])
        for start in (0, LANES // 2)
    ]

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        def rows(array: int) -> list[Any]:
            made = context.make_array(signature.args[array])(context, builder, arguments[array])
            first, stride = arguments[array + 1], arguments[array + 2]
            places = [
                builder.add(first, builder.mul(stride, ir.Constant(wide, i))) for i in range(LANES)
            ]
            return [
                builder.bitcast(builder.gep(made.data, [place]), vector.as_pointer())
                for place in places
            ]

        block = [builder.load(row, align=4) for row in rows(0)]
        for _ in range(LANES.bit_length() - 1):  # dealt so often, rows are columns
            pairs = zip(block[: LANES // 2], block[LANES // 2 :], strict=True)
            block = [builder.shuffle_vector(*pair, half) for pair in pairs for half in halves]
        for row, turned in zip(rows(3), block, strict=True):
            builder.store(turned, row, align=4)
        return context.get_dummy_value()

    signature = types.void(source, source_place, source_stride, target, target_place, target_stride)
    return signature, generate


@numba.njit(inline="always")
def _turn(source, source_stride, rows, columns, target, target_stride):  # type: ignore[no-untyped-def]
    """target[j·stride + i] = source[i·stride + j] for i below rows and j below columns: blocks
    first, and then what is left over."""
    whole_rows, whole_columns = rows // LANES * LANES, columns // LANES * LANES
    for i in range(0, whole_rows, LANES):
        for j in range(0, whole_columns, LANES):
            _turn_block(
                source, i * source_stride + j, source_stride,
                target, j * target_stride + i, target_stride,
            )  # fmt: skip
    for i in range(rows):
        for j in range(whole_columns if i < whole_rows else 0, columns):
            target[j * target_stride + i] = source[i * source_stride + j]


@kept(numba.cfunc, types.void(types.CPointer(types.int64)))
def _work(task):  # type: ignore[no-untyped-def]
    """Do pieces of the task until all are taken; any number of threads may be at it."""
    fields = carray(task, _FIELDS)
    height, width, tokens = fields[_HEIGHT], fields[_WIDTH], fields[_TOKENS]
    vectors, rows = fields[_VECTORS], fields[_ROWS]
    pointers = carray(_address(fields[_POINTERS]), height + 1, np.int32)
    columns = carray(_address(fields[_COLUMNS]), pointers[height], np.int32)
    values = carray(_address(fields[_VALUES]), pointers[height], np.float32)
    bias = carray(_address(fields[_BIAS]), height, np.float32)
    x = carray(_address(fields[_X]), tokens * width, np.float32)
    out = carray(_address(fields[_OUT]), tokens * height, np.float32)
    size = vectors * LANES
    groups = (height + rows - 1) // rows
    pieces = groups * ((tokens + size - 1) // size)
    tile = np.empty(width * size, np.float32)
    sums = np.empty(_STRIP * size, np.float32)
    laid_out = -1
    while True:
        piece = _taken(fields)
        if piece >= pieces:
            return
        low = piece // groups * size
        count = min(size, tokens - low)
        if low != laid_out:
            _turn(x[low * width :], width, count, width, tile, size)
            laid_out = low
        top = piece % groups * rows
        for first in range(top, min(height, top + rows), _STRIP):
            last = min(height, first + _STRIP)
            for r in range(first, last):
                start, end = np.int64(pointers[r]), np.int64(pointers[r + 1])
                row = sums[(r - first) * size :]
                if vectors == 8:
                    _row_of_8(values, columns, start, end, tile, bias[r], row)
                elif vectors == 4:
                    _row_of_4(values, columns, start, end, tile, bias[r], row)
                elif vectors == 2:
                    _row_of_2(values, columns, start, end, tile, bias[r], row)
                else:
                    _row_of_1(values, columns, start, end, tile, bias[r], row)
            _turn(sums, size, last - first, count, out[low * height + first :], height)
        _taken(fields[_DONE:])


def multiply(
    pointers: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    bias: NDArray[np.float32],
    x: NDArray[np.float32],
    out: NDArray[np.float32],
    threads: int,
) -> None:
    """out [tokens, rows] = x [tokens, columns] Wᵀ + bias, W in CSR, on torch's threads.

    All arrays are contiguous. Raises MemoryError if there is no room for the tiles.
    """
    if not out.size:
        return
    (tokens, width), height = x.shape, bias.size
    vectors = _vectors(tokens, width)
    tiles = -(-tokens // (vectors * LANES))
    groups = (
        max(1, min(-(-_PIECES * threads // tiles), height // _FEWEST_ROWS)) if threads > 1 else 1
    )
    rows = -(-height // groups)
    rows = -(-rows // _STRIP) * _STRIP
    task = (ctypes.c_int64 * _FIELDS)(
        0, pointers.ctypes.data, columns.ctypes.data, values.ctypes.data, bias.ctypes.data,
        x.ctypes.data, out.ctypes.data, height, width, tokens, vectors, rows, 0,
    )  # fmt: skip
    pool.run(_work, ctypes.addressof(task))
    if task[_DONE] < tiles * -(-height // rows):  # what fails in such a function is not raised
        raise MemoryError("no memory for the activations of a sparse product; take smaller batches")


def _vectors(tokens: int, width: int) -> int:
    """How many vectors of 16 tokens a tile has: as many as the tokens fill and a cache holds."""
    fitting = [
        vectors
        for vectors in WIDTHS
        if tokens > vectors // 2 * LANES and vectors * LANES * width <= _CACHED
    ]
    return max(fitting, default=1)
