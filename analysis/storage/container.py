"""The header of a safetensors file, read strictly, and written; what it says of our own files."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

import xxhash

from analysis.storage.dtypes import Spec, bytes_of

FORMAT = "sparse-safetensors"
VERSION = 1
METADATA = "__metadata__"
CONTENT, CHECKSUM = "sparse", "checksum"  # the keys of our metadata
ORIGINAL_PART = "header"  # of no tensor: the header of the file that this one was made of
_MOST_HEADER_BYTES = 100_000_000  # safetensors' own limit
_MOST_AXES = 64  # numpy's
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Header:
    """A safetensors header: its text, and the tensors in the order in which their bytes lie."""

    text: bytes
    entries: Mapping[str, Spec]
    metadata: Mapping[str, Any]

    @property
    def start(self) -> int:
        """Where the bytes of the first tensor begin in the file."""
        return 8 + len(self.text)

    @property
    def bytes(self) -> int:
        """Bytes of the tensors."""
        return sum(spec.bytes for spec in self.entries.values())


def part_name(tensor: str, part: str) -> str:
    """What a part is called in the file; it has no colon itself, so no two are called alike."""
    return f"{tensor}:{part}"


def digest(parts: Iterable[Any]) -> str:
    """Hex XXH3-128 of the bytes of these parts, one after the other."""
    state = xxhash.xxh3_128()
    for part in parts:
        state.update(part)
    return state.hexdigest()


def read_header(stream: BinaryIO, size: int) -> Header:
    """The header of an open safetensors file of `size` bytes. Raises ValueError if it is none."""
    start = stream.read(8)
    if start + stream.read(len(_POINTER) - 8) == _POINTER:
        raise ValueError("it is a pointer of git's large file storage; `git lfs pull` fetches it")
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _MOST_HEADER_BYTES):
        raise ValueError(f"its header cannot be {length} bytes long")
    stream.seek(8)
    return parsed(stream.read(length), size - 8 - length)


def parsed(text: bytes, data_bytes: int) -> Header:
    """The header of that text, whose tensors fill `data_bytes` without a gap.

    Raises ValueError if it is no such header, naming the tensor that is wrong.
    """
    content = parsed_json(text)
    metadata = content.pop(METADATA, None) or {}
    if not isinstance(metadata, dict):
        raise ValueError(f"its {METADATA} is no object")
    placed = sorted((*_placed(name, entry), name) for name, entry in content.items())
    end, entries = 0, {}
    for begin, stop, name in placed:
        if begin != end:
            raise ValueError(f"{name} begins at byte {begin} in place of {end}")
        entries[name], end = _spec(name, content[name], stop - begin), stop
    if end != data_bytes:
        raise ValueError(f"its tensors take {end} bytes, and {data_bytes} are there")
    return Header(text, entries, metadata)


def parsed_json(text: bytes | str) -> dict[str, Any]:
    """A JSON object, in which no key is there twice. Raises ValueError if the text is none."""
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("its header is no JSON object")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = sorted(key for key, _ in pairs)
        twice = next(key for key, after in pairwise(keys) if key == after)
        raise ValueError(f"its header has {twice!r} twice")
    return content


def _placed(name: str, entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if offsets is None or not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{name} has no place: its data_offsets are {offsets!r:.60}")
    return offsets[0], offsets[1]


def _spec(name: str, entry: dict[str, Any], there: int) -> Spec:
    dtype, shape = entry.get("dtype"), shape_of(entry.get("shape"))
    if not isinstance(dtype, str) or shape is None:
        raise ValueError(f"{name} has no type and shape, but {entry!r:.60}")
    wanted = bytes_of(dtype, shape)
    if wanted is not None and wanted != there:
        raise ValueError(f"{name} takes {wanted} bytes, and {there} are there")
    return Spec(dtype, shape, there)


def shape_of(value: Any) -> tuple[int, ...] | None:
    """A shape as JSON has it; None if it is none."""
    return tuple(value) if _are_counts(value) and len(value) <= _MOST_AXES else None


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(is_count(n) for n in value)


def is_count(value: Any) -> bool:
    """Whether it is a whole number that a file could hold so many bytes of."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def header_text(entries: Mapping[str, Spec], metadata: Mapping[str, str]) -> bytes:
    """The text of a header whose tensors lie in this order; padded to whole 8 bytes."""
    content: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name, spec in entries.items():
        content[name] = {
            "dtype": spec.dtype,
            "shape": spec.shape,
            "data_offsets": [end, end + spec.bytes],
        }
        end += spec.bytes
    text = json.dumps(content, separators=(",", ":")).encode("ascii")
    return text + b" " * (-len(text) % 8)


def own_metadata(
    tensors: Mapping[str, Any], more: Mapping[str, str], original: Mapping[str, Any] | None
) -> dict[str, str]:
    """The metadata of our own files: what the tensors are, and its checksum.

    original   how the header of the file is stored that this one is made of, if of any
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "metadata": dict(more),
        **({} if original is None else {"original": original}),
        "tensors": tensors,
    }
    text = json.dumps(content, separators=(",", ":"))
    return {CHECKSUM: digest([text.encode("ascii")]), CONTENT: text}


def own_content(header: Header) -> dict[str, Any]:
    """What `own_metadata` wrote. Raises ValueError if it is not as it was written."""
    text = header.metadata[CONTENT]
    if not isinstance(text, str) or header.metadata.get(CHECKSUM) != digest([text.encode()]):
        raise ValueError("what it says of its tensors has another checksum")
    content = parsed_json(text)
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        raise ValueError(
            f"it is {content.get('format')!r:.40}, version {content.get('version')!r:.40}; this"
            f" reads {FORMAT}, version {VERSION}"
        )
    if not all(isinstance(content.get(key), dict) for key in ("tensors", "metadata")):
        raise ValueError("it does not list its tensors")
    return content


def is_own(header: Header) -> bool:
    """Whether the file is one of ours."""
    return CONTENT in header.metadata
