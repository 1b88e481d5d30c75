"""The bytes that files of some weights would have, counted without writing them."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.checkpoints.tensors import Bytes
from analysis.engine import threads
from analysis.storage.bound import tensor_bytes
from analysis.storage.dtypes import Spec
from analysis.storage.formats import ZSTD
from analysis.storage.layouts import encoded, require_format
from analysis.storage.writing import described, header

PLAIN = "dense"  # of `counted`: the safetensors file that others are compared with
_LENGTH = 8  # the bytes that say how long a header is
# the order in which safetensors lays tensors out, before their names: the last come first
_IN_ORDER = (
    "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "I16", "U16", "F16", "BF16", "I32", "U32", "F32",
    "C64", "F64", "I64", "U64",
)  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """Bytes by format, and the entropy bound of positions and raw values, in whole bytes."""

    bytes: Mapping[str, int]
    bound_bytes: int


@dataclass(frozen=True)
class _Tensor:
    """What is kept of a tensor: what it is, and for each format its entries and its row."""

    spec: Spec
    bound: float
    formats: Mapping[str, tuple[Mapping[str, Spec], Mapping[str, Any]]]


def counted(
    names: Iterable[str], stored: Callable[[str], tuple[Spec, Bytes]], formats: Sequence[str]
) -> Counted:
    """The sizes of the files that `write` makes of these tensors; for "dense" of the plain
    safetensors file, `write_plain`.

    `stored` gives a tensor as a file has it: it is asked once, on some thread, and what it gives is
    not kept. Raises RequestError if there is no such format.
    """
    for name in formats:
        require_format(name)
    own = [name for name in formats if name != PLAIN]

    def tensor(name: str) -> _Tensor:
        spec, raw = stored(name)
        return _counted(name, spec, raw, own)

    names = sorted(names)
    found = dict(zip(names, threads.each(tensor, names), strict=True))
    sizes = {
        name: _plain_bytes({n: t.spec for n, t in found.items()})
        if name == PLAIN
        else _bytes(found, name)
        for name in formats
    }
    return Counted(sizes, math.ceil(sum(t.bound for t in found.values())))


def _counted(name: str, spec: Spec, raw: Bytes, formats: Sequence[str]) -> _Tensor:
    made, alike = {}, {}
    for format, content in encoded(name, spec, raw, formats).items():
        kind = content.layout, format.endswith(ZSTD)
        if kind not in alike:
            file = described(name, spec, content, format)
            alike[kind] = file.entries, file.row
        made[format] = alike[kind]
    return _Tensor(spec, tensor_bytes(spec, raw), made)


def _bytes(found: Mapping[str, _Tensor], format: str) -> int:
    entries: dict[str, Spec] = {}
    for tensor in found.values():
        entries |= tensor.formats[format][0]
    rows = {name: tensor.formats[format][1] for name, tensor in found.items()}
    text = header(entries, rows, {})
    return _LENGTH + len(text) + sum(spec.bytes for spec in entries.values())


def _plain_bytes(specs: Mapping[str, Spec]) -> int:
    content, end = {}, 0
    for name in sorted(specs, key=lambda name: (-_IN_ORDER.index(specs[name].dtype), name)):
        spec = specs[name]
        offsets = [end, end + spec.bytes]
        content[name] = {"dtype": spec.dtype, "shape": spec.shape, "data_offsets": offsets}
        end += spec.bytes
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return _LENGTH + -(-len(text) // 8) * 8 + end
