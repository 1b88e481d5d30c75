"""A safetensors file made sparse, and back, byte for byte: tensors, header and all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.engine import files
from analysis.errors import RequestError, RunError
from analysis.storage import container
from analysis.storage.bound import entropy_bytes
from analysis.storage.container import Header
from analysis.storage.reading import Stored, opened
from analysis.storage.writing import Writer, unwritable

Told = Callable[[int], None]  # gets the bytes of each tensor that is done


@dataclass(frozen=True)
class Sizes:
    """Bytes of a file before and after; and of the entropy bound, without headers."""

    before: int
    after: int
    bound: float


def compress_file(source: Path, target: Path, format: str, told: Told) -> Sizes:
    """Write a safetensors file in one of `FORMATS`, a tensor in memory at a time.

    Raises RequestError if it is none, RunError if it cannot be read to its end or the disk
    refuses.
    """
    before = _size(source)
    try:
        with source.open("rb") as stream:
            header = container.read_header(stream, before)
            if container.is_own(header):
                raise RequestError(f"{source} is compressed already; give the folder it came from")
            bound = 0.0
            with Writer(target, format) as writer:
                writer.add_header(header.text)
                stream.seek(header.start)
                for name, spec in header.entries.items():
                    raw = np.empty(spec.bytes, np.uint8)
                    if stream.readinto(raw.data) != raw.size:
                        raise RunError(f"{source} ends within {name}; copy the file again")
                    bound += entropy_bytes(spec, writer.add_raw(name, spec, raw))
                    told(spec.bytes)
    except ValueError as error:
        raise RequestError(f"{source} cannot be read: {error}; save or copy it again") from error
    except OSError as error:
        raise _unreadable(source, error) from error
    return Sizes(before, _size(target), bound)


def decompress_file(source: Path, target: Path, told: Told) -> Sizes:
    """Write the safetensors file of which `compress_file` made this one.

    Raises RequestError if it is not compressed, RunError if it is damaged or the disk refuses.
    """
    with opened(source) as stored:
        header = _header_of(source, stored)
        try:
            with files.replaced_file(target) as stream:
                stream.write(len(header.text).to_bytes(8, "little") + header.text)
                for name, spec in header.entries.items():
                    stream.write(stored.raw(name).data)
                    told(spec.bytes)
        except OSError as error:
            raise unwritable(target, error) from error
    return Sizes(_size(source), _size(target), 0.0)


def _header_of(source: Path, stored: Stored) -> Header:
    """The header of the dense file, which describes the tensors that are there and no others."""
    own = {name: stored.spec(name) for name in stored.names}
    text = stored.original_header()
    try:
        if text is None:  # not made of a file
            text = container.header_text(own, {"format": "pt"})
        header = container.parsed(text, stored.dense_bytes)
    except ValueError as error:
        raise RunError(
            f"{source} is damaged: its original header: {error}; compress it again"
        ) from error
    if header.entries != own:
        odd = min(
            name
            for name in own.keys() | header.entries.keys()
            if own.get(name) != header.entries.get(name)
        )
        raise RunError(
            f"{source} is damaged: {odd} is not what the original header says; compress it again"
        )
    return header


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RunError:
    return RunError(f"cannot read {path}: {error.strerror or error}; mend that, and run again")
