"""Tensors of a checkpoint: what they are, where their bytes lie, and the reading of these."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.errors import RunError

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Dtype:
    """A type of number as files name it; `floating` ones are weights, others are codes or ids.

    bytes is 0 where the type is not known.
    """

    name: str
    bytes: int
    floating: bool = False


DTYPES = {
    "F64": Dtype("float64", 8, True),
    "F32": Dtype("float32", 4, True),
    "F16": Dtype("float16", 2, True),
    "BF16": Dtype("bfloat16", 2, True),
    "F8_E4M3": Dtype("float8_e4m3fn", 1, True),
    "F8_E5M2": Dtype("float8_e5m2", 1, True),
    "I64": Dtype("int64", 8),
    "I32": Dtype("int32", 4),
    "I16": Dtype("int16", 2),
    "I8": Dtype("int8", 1),
    "U64": Dtype("uint64", 8),
    "U32": Dtype("uint32", 4),
    "U16": Dtype("uint16", 2),
    "U8": Dtype("uint8", 1),
    "BOOL": Dtype("bool", 1),
    "C64": Dtype("complex64", 8),
}
BY_NAME = {dtype.name: dtype for dtype in DTYPES.values()}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint, and where its bytes are: at an offset of a file, or in memory."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    path: Path
    bytes: int
    offset: int = 0
    memory: Bytes | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by sorted name, and the files that hold them, if any do."""

    folder: Path
    tensors: Mapping[str, Tensor]
    files: tuple[Path, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of all tensors; headers are not in it."""
        return sum(tensor.bytes for tensor in self.tensors.values())


class Reader:
    """Reads tensors' bytes; threads may share it. A context manager: files are closed with it."""

    def __init__(self, checkpoint: Checkpoint):
        self._files: dict[Path, int] = {}
        for path in checkpoint.files:
            try:
                self._files[path] = os.open(path, os.O_RDONLY)
            except OSError as error:
                self.__exit__()
                raise _unreadable(path, error) from error

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)

    def read(self, tensor: Tensor, start: int, into: Bytes) -> None:
        """Fill `into` with the tensor's bytes from byte `start` on.

        Raises RunError if the file has become shorter than its header says.
        """
        if tensor.memory is not None:
            into[:] = tensor.memory[start : start + into.size]
            return
        view, place = memoryview(into.data), tensor.offset + start
        while view:
            try:
                got = os.preadv(self._files[tensor.path], [view], place)
            except OSError as error:
                raise _unreadable(tensor.path, error) from error
            if not got:
                raise RunError(f"{tensor.path} ends within {tensor.name}; copy the file again")
            view, place = view[got:], place + got


def _unreadable(path: Path, error: OSError) -> RunError:
    return RunError(f"cannot read {path}: {error.strerror or error}; mend that, and run again")
