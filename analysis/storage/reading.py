"""Sparse weight files, read tensor by tensor; nothing that they say is taken on trust."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from analysis.checkpoints.tensors import Bytes
from analysis.engine import machine
from analysis.errors import RequestError, RunError
from analysis.storage import container, zstd
from analysis.storage.container import ORIGINAL_PART, Header, is_count, part_name, shape_of
from analysis.storage.dtypes import Spec, bytes_of, to_array
from analysis.storage.formats import LAYOUTS
from analysis.storage.layouts import Parts, decoded, parts_of


def read(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file, as they were written.

    Raises RequestError if there is no such file or it is not compressed; RunError if it is
    damaged or holds what numpy lacks.
    """
    with opened(path) as stored:
        return {name: stored.tensor(name) for name in stored.names}


@contextlib.contextmanager
def opened(path: Path) -> Iterator["Stored"]:
    """A file whose header has been checked. Raises as `read`."""
    try:
        stream = path.open("rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RequestError(f"there is no file {path}; name one that `compress` made") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}; mend that") from error
    with stream:
        try:
            header = container.read_header(stream, path.stat().st_size)
            if not container.is_own(header):
                raise RequestError(f"{path} is not compressed; `compress` makes such files")
            stored = Stored(path, stream, header)
        except (ValueError, OSError) as error:
            raise _damaged(path, error) from error
        yield stored


@dataclass(frozen=True)
class _Stored:
    """What the header says of one tensor, or of the original header."""

    spec: Spec
    layout: str
    nonzeros: int
    parts: Mapping[str, Spec]  # as they are when they are not compressed
    compressed: frozenset[str]
    checksum: str


class Stored:
    """A file of ours, open: what is in it, and one tensor at a time."""

    def __init__(self, path: Path, stream: BinaryIO, header: Header):
        """Raises ValueError if the header contradicts itself."""
        self._path, self._stream, self._header = path, stream, header
        content = container.own_content(header)
        self.metadata: Mapping[str, str] = content["metadata"]
        self._tensors = {name: _tensor(name, entry) for name, entry in content["tensors"].items()}
        self._original = _original(content.get("original"))
        self._require_parts()
        starts, end = {}, header.start
        for name, spec in header.entries.items():
            starts[name], end = end, end + spec.bytes
        self._starts = starts

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors' names, in the order in which they were written."""
        return tuple(self._tensors)

    @property
    def dense_bytes(self) -> int:
        """Bytes of all tensors when they are dense."""
        return sum(tensor.spec.bytes for tensor in self._tensors.values())

    def spec(self, name: str) -> Spec:
        """What a tensor is."""
        return self._tensors[name].spec

    def layout(self, name: str) -> str:
        """The layout that a tensor is stored in."""
        return self._tensors[name].layout

    def tensor(self, name: str) -> NDArray[Any]:
        """A tensor as an array. Raises RunError if it is damaged or numpy lacks its type."""
        return to_array(f"{self._path}: {name}", self.spec(name), self.raw(name))

    def raw(self, name: str) -> Bytes:
        """A tensor's bytes. Raises RunError if they are damaged, or no memory can hold them."""
        tensor = self._tensors[name]
        return self._decoded(
            name, tensor, lambda parts: decoded(tensor.spec, tensor.layout, tensor.nonzeros, parts)
        )

    def original_header(self) -> bytes | None:
        """The header of the safetensors file that this one was made of, if it was."""
        if self._original is None:
            return None
        original = self._original
        return self._decoded("", original, lambda parts: parts[ORIGINAL_PART]).tobytes()

    def _require_parts(self) -> None:
        """Raise ValueError unless the file's entries are the parts that its tensors have."""
        there = dict(self._header.entries)
        for name, tensor in self._all():
            for part, wanted in tensor.parts.items():
                place = part_name(name, part)
                found = there.pop(place, None)
                if found is None:
                    raise ValueError(f"{name or 'its header'} has no part {place}")
                if part in tensor.compressed:
                    wanted = Spec("U8", (found.bytes,), found.bytes)
                if found != wanted:
                    raise ValueError(
                        f"{name}: {place} is {found.dtype} of {list(found.shape)!s:.60} in place of"
                        f" {wanted.dtype} of {list(wanted.shape)!s:.60}"
                    )
        if there:
            raise ValueError(f"{min(there)} belongs to no tensor")

    def _all(self) -> Iterator[tuple[str, _Stored]]:
        yield from self._tensors.items()
        if self._original is not None:
            yield "", self._original

    def _decoded(self, name: str, tensor: _Stored, decode: Callable[[Parts], Bytes]) -> Bytes:
        if tensor.spec.bytes > machine.memory_bytes():
            raise RunError(
                f"{self._path}: {name} would take {tensor.spec.bytes} bytes, more than this"
                " machine's memory; read it on a larger one, if you trust the file"
            )
        try:
            stored = {part: self._read(part_name(name, part)) for part in tensor.parts}
            if container.digest(content.data for content in stored.values()) != tensor.checksum:
                raise ValueError("its bytes have another checksum")
            parts = {
                part: zstd.decompressed(content, tensor.parts[part].bytes)
                if part in tensor.compressed
                else content
                for part, content in stored.items()
            }
            return decode(parts)
        except (ValueError, OSError) as error:
            raise _damaged(self._path, error, name or "its header") from error
        except MemoryError as error:
            raise RunError(
                f"{self._path}: {name} takes {tensor.spec.bytes} bytes, which are not free; end"
                " other programs, or read it on a larger machine"
            ) from error

    def _read(self, place: str) -> Bytes:
        content = np.empty(self._header.entries[place].bytes, np.uint8)
        self._stream.seek(self._starts[place])
        if self._stream.readinto(content.data) != content.size:  # type: ignore[attr-defined]
            raise ValueError("the file ends within it")
        return content


def _tensor(name: str, entry: Any) -> _Stored:
    """What the header says of a tensor. Raises ValueError, naming it, if that cannot be."""
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, layout = entry.get("dtype"), shape_of(entry.get("shape")), entry.get("layout")
    if not isinstance(dtype, str) or shape is None or layout not in LAYOUTS:
        raise ValueError(f"{name} has no type, shape and layout: {entry!r:.80}")
    try:
        known = bytes_of(dtype, shape)
        spec = Spec(dtype, shape, entry["bytes"] if known is None else known)
        nonzeros = 0 if layout == "dense" else entry["nonzeros"]
        if not (is_count(spec.bytes) and is_count(nonzeros) and nonzeros <= spec.size):
            raise ValueError(f"{nonzeros!r:.40} of its elements cannot be other than zero")
        parts = parts_of(spec, layout, nonzeros)
        return _Stored(spec, layout, nonzeros, parts, *_kept(entry, parts))
    except KeyError as error:
        raise ValueError(f"{name} lacks {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _original(entry: Any) -> _Stored | None:
    if entry is None:
        return None
    if not isinstance(entry, dict) or not is_count(entry.get("bytes")):
        raise ValueError(f"its original header is {entry!r:.80}")
    spec = Spec("U8", (entry["bytes"],), entry["bytes"])
    parts = {ORIGINAL_PART: spec}
    return _Stored(spec, "dense", 0, parts, *_kept(entry, parts))


def _kept(entry: dict[str, Any], parts: Mapping[str, Spec]) -> tuple[frozenset[str], str]:
    """Which parts are compressed, and the checksum of all."""
    compressed, checksum = entry.get("zstd", []), entry.get("checksum")
    if not isinstance(compressed, list) or not all(part in list(parts) for part in compressed):
        raise ValueError(f"it has no such parts as {compressed!r:.60}")
    if not isinstance(checksum, str):
        raise ValueError("it has no checksum")
    return frozenset(compressed), checksum


def _damaged(path: Path, error: Exception, name: str = "") -> RunError:
    reason = getattr(error, "strerror", None) or error
    return RunError(
        f"{path} is damaged: {f'{name}: ' if name else ''}{reason}; copy or compress it again"
    )
