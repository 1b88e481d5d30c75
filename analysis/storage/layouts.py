"""What a tensor becomes: which layout it gets, and the parts that the layout makes of it.

layout     parts
dense      `dense`, the tensor as it is
bitmask    `bits`, one an element, and `values`, the elements that are not zero
csr16      `rows`, `columns` of 16 bits, `values`: compressed sparse rows
csr32      the same with columns of 32 bits

Tensors of truth values need no `values`. Every format is a rule that gives each tensor a layout:
`auto` the one that takes fewest bytes, the others the one they are named after, but

- tensors without elements, of a type that is not known or of less than a byte stay dense, and so
  do truth values that are neither 0 nor 1;
- where a row is longer than its columns can number, `csr16` gives way to `csr32`, and this to
  `bitmask`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.checkpoints.tensors import Bytes
from analysis.errors import RequestError, unknown
from analysis.storage import bitmask, csr
from analysis.storage.dtypes import Spec, bytes_of, numbers_of
from analysis.storage.formats import FORMATS, ZSTD
from analysis.storage.kernels import Numbers

_COLUMNS: Mapping[str, tuple[type[np.generic], str, int]] = {  # type, its name, the widest row
    "csr16": (np.uint16, "U16", 1 << 16),
    "csr32": (np.int32, "I32", 1 << 31),
}
_HEADER_BYTES = 90  # what a part adds to a file's header, beside its tensor's name

Parts = Mapping[str, Bytes]


@dataclass(frozen=True)
class Encoded:
    """A tensor in its layout.

    nonzeros   elements of which a bit is set; all of them where elements are not known
    parts      the bytes of each part, in the layout's order
    """

    layout: str
    nonzeros: int
    parts: Parts


def require_format(name: str) -> None:
    """Raise RequestError if there is no such format."""
    if name not in FORMATS:
        raise RequestError(unknown("format", name, FORMATS))


def parts_of(spec: Spec, layout: str, nonzeros: int) -> dict[str, Spec]:
    """What each part of a tensor is, in the layout's order.

    Raises ValueError if such a tensor cannot be in that layout.
    """
    if layout == "dense":
        known = bytes_of(spec.dtype, spec.shape) is not None
        return {"dense": spec if known else _part("U8", spec.bytes)}
    if not spec.item_bytes or not spec.size:
        raise ValueError(f"{spec.dtype} of shape {spec.shape} is not stored as {layout}")
    if layout == "bitmask":
        parts = {"bits": _part("U8", -(-spec.size // 8))}
    else:
        rows, width = csr.matrix_of(spec.shape)
        _, name, widest = _COLUMNS[layout]
        if width > widest:
            raise ValueError(f"rows of {width} elements are not stored as {layout}")
        pointer = f"I{8 * csr.pointer(nonzeros)().itemsize}"
        parts = {"rows": _part(pointer, rows + 1), "columns": _part(name, nonzeros)}
    return parts if not spec.value_bytes else {**parts, "values": _part(spec.dtype, nonzeros)}


def _part(dtype: str, size: int) -> Spec:
    return Spec(dtype, (size,), bytes_of(dtype, (size,)) or 0)


def encoded(name: str, spec: Spec, raw: Bytes, formats: Sequence[str]) -> dict[str, Encoded]:
    """The tensor in the layout that each format gives it; its name takes room in the header.

    What several formats lay out alike is made once.
    """
    if not spec.item_bytes:
        return dict.fromkeys(formats, Encoded("dense", spec.size, {"dense": raw}))
    numbers = numbers_of(spec, raw)
    counts, is_plain = _counts(spec, numbers), _is_plain(spec, numbers)
    layouts = {
        format: _layout(spec, sum(counts), format.removesuffix(ZSTD), len(name))
        if is_plain
        else "dense"
        for format in formats
    }
    made = {layout: _encoded(spec, numbers, counts, layout) for layout in {*layouts.values()}}
    return {format: made[layout] for format, layout in layouts.items()}


def _encoded(spec: Spec, numbers: Numbers, counts: Sequence[int], layout: str) -> Encoded:
    nonzeros = sum(counts)
    if layout == "dense":
        return Encoded("dense", nonzeros, {"dense": numbers.view(np.uint8)})
    if layout == "bitmask" and not spec.value_bytes:
        made: dict[str, Numbers] = {"bits": bitmask.packed_truths(numbers)}
    elif layout == "bitmask":
        bits, values = bitmask.packed(numbers, counts)
        made = {"bits": bits, "values": values}
    else:
        matrix = numbers.reshape(csr.matrix_of(spec.shape))
        rows, columns, values = csr.packed(matrix, _COLUMNS[layout][0])
        made = {"rows": rows, "columns": columns, "values": values}
    wanted = parts_of(spec, layout, nonzeros)
    return Encoded(layout, nonzeros, {part: made[part].view(np.uint8) for part in wanted})


def _counts(spec: Spec, numbers: Numbers) -> list[int]:
    """How many numbers are not zero, piece by piece where the pieces are packed so."""
    if not spec.value_bytes and _is_plain(spec, numbers):
        return [int(np.count_nonzero(numbers.view(np.bool_)))]
    return bitmask.counted(numbers)


def _is_plain(spec: Spec, numbers: Numbers) -> bool:
    """Whether truth values are 0 or 1, so that places alone say all."""
    return bool(spec.value_bytes) or not numbers.size or int(numbers.max()) <= 1


def _layout(spec: Spec, nonzeros: int, rule: str, name_length: int) -> str:
    """The layout of a tensor under a format's rule."""
    if not spec.size or rule == "dense":
        return "dense"
    width = csr.matrix_of(spec.shape)[1]
    by_rows = next((name for name, (*_, widest) in _COLUMNS.items() if width <= widest), None)
    if rule == "bitmask":
        return rule
    if rule != "auto":
        return rule if by_rows and width <= _COLUMNS[rule][2] else by_rows or "bitmask"

    def bytes_in(layout: str) -> int:
        parts = parts_of(spec, layout, nonzeros).values()
        return sum(part.bytes + _HEADER_BYTES + name_length for part in parts)

    return min(("dense", "bitmask", *([by_rows] if by_rows else [])), key=bytes_in)


def decoded(spec: Spec, layout: str, nonzeros: int, parts: Parts) -> Bytes:
    """The tensor's bytes, of parts whose sizes are those of `parts_of`.

    Raises ValueError if the parts contradict each other: places are checked before they are
    written to.
    """
    if layout == "dense":
        return parts["dense"]
    if layout == "bitmask" and not spec.value_bytes:
        return bitmask.unpacked_truths(parts["bits"], nonzeros, spec.size)
    there = spec.value_bytes
    values = numbers_of(spec, parts["values"]) if there else np.ones(nonzeros, np.uint8)
    if layout == "bitmask":
        return bitmask.unpacked(parts["bits"], values, spec.size).view(np.uint8)
    rows = parts["rows"].view(f"i{csr.pointer(nonzeros)().itemsize}")
    columns = parts["columns"].view(_COLUMNS[layout][0])
    width = csr.matrix_of(spec.shape)[1]
    return csr.unpacked(rows, columns, values, width).reshape(-1).view(np.uint8)
