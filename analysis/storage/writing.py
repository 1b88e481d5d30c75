"""Sparse weight files, written tensor by tensor: one is in memory at a time, and the file is whole
or not there."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from analysis.checkpoints.tensors import Bytes
from analysis.engine import files
from analysis.errors import RunError
from analysis.storage import container, zstd
from analysis.storage.dtypes import BITS, Spec, from_array
from analysis.storage.formats import ZSTD
from analysis.storage.layouts import Encoded, encoded, parts_of, require_format

_IN_MEMORY = 1 << 25  # bytes of parts that wait in memory for the header, which comes before them
_BLOCK = 1 << 22


def write(
    weights: Mapping[str, NDArray[Any]],
    path: Path,
    format: str = "auto",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the arrays to a file in one of `FORMATS`; equal arrays make equal bytes.

    Each is asked for once, in the order of their names, and not kept. Raises RequestError if
    there is no such format or safetensors lacks a type, RunError if the disk refuses.
    """
    with Writer(path, format, metadata) as writer:
        for name in sorted(weights):
            writer.add(name, weights[name])


def write_plain(weights: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write the safetensors file that `save_pretrained` writes, zeros stored like any number."""
    save_file({name: np.asarray(array, order="C") for name, array in weights.items()}, path)


class Writer:
    """A sparse file in the making; a context manager: it is there once the block ends well.

    metadata   strings that the file keeps
    """

    def __init__(self, path: Path, format: str = "auto", metadata: Mapping[str, str] | None = None):
        require_format(format)
        self._path, self._format, self._metadata = path, format, dict(metadata or {})
        self._entries: dict[str, Spec] = {}
        self._tensors: dict[str, Mapping[str, Any]] = {}
        self._original: Mapping[str, Any] | None = None
        folder = str(path.parent)
        self._parts = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=folder)  # noqa: SIM115

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._parts:
            if kind is None:
                try:
                    self._finish()
                except OSError as refused:
                    raise unwritable(self._path, refused) from refused

    def add(self, name: str, array: NDArray[Any]) -> None:
        """Write an array."""
        self.add_raw(name, *from_array(name, array))

    def add_raw(self, name: str, spec: Spec, raw: Bytes) -> int:
        """Write a tensor of contiguous bytes; returns its number of non-zero elements."""
        if name in self._tensors:
            raise ValueError(f"{name} is written twice")
        if raw.size != spec.bytes:
            raise ValueError(f"{name} has {raw.size} bytes in place of {spec.bytes}")
        laid_out = encoded(name, spec, raw, [self._format])[self._format]
        made = described(name, spec, laid_out, self._format)
        self._entries |= made.entries
        self._tensors[name] = made.row
        for content in made.contents:
            self._put(content)
        return made.nonzeros

    def add_header(self, text: bytes) -> None:
        """Keep the header of the safetensors file that this one is made of."""
        content, short = _stored(np.frombuffer(text, np.uint8), self._format)
        self._entries[container.part_name("", container.ORIGINAL_PART)] = _bytes_spec(content)
        self._put(content)
        self._original = {
            "bytes": len(text),
            **({"zstd": [container.ORIGINAL_PART]} if short else {}),
            "checksum": container.digest([content.data]),
        }

    def _put(self, content: Bytes) -> None:
        try:
            self._parts.write(content.data)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def _finish(self) -> None:
        text = header(self._entries, self._tensors, self._metadata, self._original)
        self._parts.seek(0)
        with files.replaced_file(self._path) as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(self._parts, stream, _BLOCK)


@dataclass(frozen=True)
class Described:
    """A tensor as a file has it.

    entries    what its parts are, by their names in the file
    row        what the file's metadata says of it
    contents   the bytes of each part
    """

    entries: Mapping[str, Spec]
    row: Mapping[str, Any]
    contents: tuple[Bytes, ...]
    nonzeros: int


def described(name: str, spec: Spec, made: Encoded, format: str) -> Described:
    """A tensor, in its layout, as a file of that format has it."""
    wanted = parts_of(spec, made.layout, made.nonzeros)
    stored = {part: _stored(content, format) for part, content in made.parts.items()}
    entries = {
        container.part_name(name, part): _bytes_spec(content) if short else wanted[part]
        for part, (content, short) in stored.items()
    }
    shortened = [part for part, (_, short) in stored.items() if short]
    contents = tuple(content for content, _ in stored.values())
    row = {
        "layout": made.layout,
        "dtype": spec.dtype,
        "shape": spec.shape,
        **({} if spec.dtype in BITS else {"bytes": spec.bytes}),
        **({} if made.layout == "dense" else {"nonzeros": made.nonzeros}),
        **({"zstd": shortened} if shortened else {}),
        "checksum": container.digest(content.data for content in contents),
    }
    return Described(entries, row, contents, made.nonzeros)


def header(
    entries: Mapping[str, Spec],
    rows: Mapping[str, Mapping[str, Any]],
    metadata: Mapping[str, str],
    original: Mapping[str, Any] | None = None,
) -> bytes:
    """The header of a file whose parts lie in the order of the entries."""
    return container.header_text(entries, container.own_metadata(rows, metadata, original))


def _stored(part: Bytes, format: str) -> tuple[Bytes, bool]:
    """A part as it is stored, and whether zstd made it shorter."""
    short = zstd.compressed(part) if format.endswith(ZSTD) else None
    return (part, False) if short is None else (short, True)


def _bytes_spec(content: Bytes) -> Spec:
    return Spec("U8", (content.size,), content.size)


def unwritable(path: Path, error: OSError) -> RunError:
    """The error for a disk that refuses."""
    return RunError(f"cannot write {path}: {files.why_unwritable(path, error)}")
