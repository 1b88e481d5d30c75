"""The tensors of a checkpoint's files: named, placed, and read without opening a model.

safetensors files are read by their offsets, so no more of a tensor is in memory than was asked
for, and nothing stays; a .bin is opened with `weights_only` and mapped into memory.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from analysis.errors import RequestError, RunError

SAFETENSORS = "model.safetensors"
PICKLE = "pytorch_model.bin"

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Dtype:
    """A type of number as files name it; `floating` ones are weights, others are codes or ids."""

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
_BY_NAME = {dtype.name: dtype for dtype in DTYPES.values()}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint, and where its bytes are: at an offset of a file, or in memory."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    path: Path
    offset: int = 0
    memory: Bytes | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.bytes


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
            self._files[path] = os.open(path, os.O_RDONLY)

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
            got = os.preadv(self._files[tensor.path], [view], place)
            if not got:
                raise RunError(f"{tensor.path} ends within {tensor.name}; copy the file again")
            view, place = view[got:], place + got


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder: safetensors if there are any, else a .bin; one file or shards.

    Raises RequestError if there is none, or a file is not whole.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder} is no folder; give the folder of a saved model")
    for single, listed in ((SAFETENSORS, _safetensors), (PICKLE, _pickled)):
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            paths = [folder / single]
        elif index.is_file():
            paths = _shards(index)
        else:
            continue
        tensors: dict[str, Tensor] = {}
        for path in paths:
            for tensor in listed(path):
                if tensor.name in tensors:
                    raise RequestError(
                        f"{tensor.name} is in two files of {folder},"
                        f" {tensors[tensor.name].path.name} and {path.name}; save the model again"
                    )
                tensors[tensor.name] = tensor
        return Checkpoint(folder, dict(sorted(tensors.items())), tuple(paths))
    raise RequestError(
        f"{folder} holds no weights: neither {SAFETENSORS} nor {PICKLE}, whole or in shards with"
        " an .index.json; give the folder of a saved model"
    )


def in_memory(arrays: Mapping[str, NDArray[Any]]) -> Checkpoint:
    """A checkpoint of arrays in memory."""
    tensors = {}
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        tensors[name] = Tensor(
            name,
            _BY_NAME[str(array.dtype)],
            arrays[name].shape,  # numpy makes a contiguous scalar an array of one
            Path(),
            memory=array.reshape(-1).view(np.uint8),
        )
    return Checkpoint(Path(), tensors)


def _shards(index: Path) -> list[Path]:
    """The files that an index names, each of them beside it."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise RequestError(
            f"{index} is no index of shards ({error}); it needs a `weight_map` from tensors to"
            " files: save the model again"
        ) from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise RequestError(f"{index} names {name!r}, which is no file beside it")
        if not (index.parent / name).is_file():
            raise RequestError(
                f"{index} names {name}, which is not there; copy all shards into {index.parent}"
            )
    return [index.parent / name for name in names]


def _safetensors(path: Path) -> Iterator[Tensor]:
    """The tensors of a safetensors file; the library has checked its header against its length."""
    try:
        with safe_open(path, framework="numpy"):
            pass
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header: dict[str, Any] = json.loads(stream.read(length))
    except (SafetensorError, TypeError, OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read: {error}; save or copy it again") from error
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = DTYPES.get(entry["dtype"]) or Dtype(entry["dtype"].lower(), 0)
        begin, end = entry["data_offsets"]
        tensor = Tensor(name, dtype, tuple(entry["shape"]), path, 8 + length + begin)
        if dtype.bytes * tensor.size != end - begin:
            raise RequestError(
                f"{path}: {name} has type {entry['dtype']}, which is not supported; allowed:"
                f" {', '.join(DTYPES)}"
            )
        yield tensor


def _pickled(path: Path) -> Iterator[Tensor]:
    """The tensors of a file of torch's, mapped into memory; an old one, no zip, is loaded whole."""
    import warnings
    import zipfile

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, that are refused or hold tensors
            held = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except Exception as error:  # a damaged pickle raises whatever its opcodes run into
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise RequestError(
            f"{path} cannot be read as weights alone: {reason}; convert it to safetensors where"
            " you trust it"
        ) from error
    if not isinstance(held, Mapping):
        raise RequestError(f"{path} holds a {type(held).__name__}, not tensors by name")
    for name, value in held.items():
        if not isinstance(value, torch.Tensor):
            continue  # a version, a configuration
        dtype = _BY_NAME.get(str(value.dtype).removeprefix("torch."))
        plain = value.layout is torch.strided and not (value.is_nested or value.is_meta)
        if dtype is None or not plain:
            raise RequestError(
                f"{path}: {name} is a {value.layout} of {value.dtype}, which is not supported;"
                " save it dense"
            )
        flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        memory = flat.view(torch.uint8).numpy() if flat.numel() else np.empty(0, np.uint8)
        yield Tensor(str(name), dtype, tuple(value.shape), path, memory=memory)
