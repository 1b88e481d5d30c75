"""A checkpoint's tensors as numpy arrays, and back into files.

Floats are read exactly: as float64 if they are that, else as float32.
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import TensorSpec, serialize_file

from analysis.checkpoints.checkpoint import SAFETENSORS, open_checkpoint
from analysis.checkpoints.tensors import BY_NAME, Bytes, Checkpoint, Dtype, Reader, Tensor
from analysis.checkpoints.widening import from_bytes, to_bytes, widened
from analysis.engine.arrays import Array
from analysis.errors import RequestError, RunError

FILE = SAFETENSORS  # what the project itself writes
_HOLD_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json")


def read_weights(folder: Path) -> dict[str, Array]:
    """All tensors of the checkpoint in `folder`, by sorted name.

    Raises RequestError if the folder holds no readable checkpoint, or a tensor is of a type that
    neither numpy has nor float32 can hold.
    """
    with weights_in(folder) as weights:
        return dict(weights)


@contextlib.contextmanager
def weights_in(folder: Path) -> Iterator[Mapping[str, Array]]:
    """The same, each tensor read whenever it is asked for and not kept; threads may share it."""
    checkpoint = open_checkpoint(folder)
    with Reader(checkpoint) as reader:
        yield Unread(checkpoint.tensors, reader)


class Unread(Mapping[str, Array]):
    """Tensors of an open checkpoint by name, each read whenever it is asked for and not kept."""

    def __init__(self, tensors: Mapping[str, Tensor], reader: Reader):
        self._tensors, self._reader = tensors, reader

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors  # without reading it

    def __getitem__(self, name: str) -> Array:
        return _array(self._tensors[name], self._reader)


def _array(tensor: Tensor, reader: Reader) -> Array:
    if tensor.dtype.floating:
        return widened(reader, tensor)
    try:
        array = np.empty(tensor.shape, np.dtype(tensor.dtype.name))
    except TypeError as error:
        raise RequestError(
            f"{tensor.path}: {tensor.name} is {tensor.dtype.name}, which numpy lacks; save the"
            " model as float32 or float16"
        ) from error
    reader.read(tensor, 0, array.reshape(-1).view(np.uint8))
    return array


def write_in_place_of(folder: Path, out: Path, tensors: Mapping[str, Array]) -> None:
    """Write to `out` the checkpoint in `folder` with these tensors, in one file, in place of its
    own, whatever files they lie in; its other files are copied."""
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns(*_HOLD_WEIGHTS))
    write_like(open_checkpoint(folder), out / FILE, tensors)


def write_like(checkpoint: Checkpoint, path: Path, tensors: Mapping[str, Array]) -> None:
    """Write these tensors to a safetensors file: floats in the type that the checkpoint has for
    that name, all else as it is."""
    contents = {}
    for name, array in tensors.items():
        dtype, there = BY_NAME[array.dtype.name], checkpoint.tensors.get(name)
        if there is not None and dtype.floating and there.dtype.floating:
            dtype = there.dtype
            raw = narrowed(name, array, dtype)
        else:
            raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        contents[name] = dtype, array.shape, raw
    write_stored(path, contents)


def write_stored(path: Path, contents: Mapping[str, tuple[Dtype, Sequence[int], Bytes]]) -> None:
    """Write a safetensors file of tensors by name, each with its type, shape and bytes."""
    specs = {  # addresses into `contents`, which outlives them
        name: TensorSpec(
            dtype=dtype.name, shape=list(shape), data_ptr=raw.ctypes.data, data_len=raw.size
        )
        for name, (dtype, shape, raw) in contents.items()
    }
    serialize_file(specs, path, {"format": "pt"})


def narrowed(name: str, array: Array, dtype: Dtype) -> Bytes:
    """The bytes of a tensor's new values in that type. Raises RunError if one is too large."""
    raw = to_bytes(array, dtype)
    narrower = dtype.bytes < array.itemsize
    if narrower and not np.isfinite(from_bytes(raw, dtype)).all() and np.isfinite(array).all():
        raise RunError(
            f"{name}: a new value is too large for {dtype.name}, in which the checkpoint stores it;"
            " save the checkpoint as float32, and prune that"
        )
    return raw


def require_finite(weights: Mapping[str, Array], names: Iterable[str]) -> None:
    """Raise RunError, naming the tensor, if one of these holds NaN or infinity."""
    for name in names:
        bad = weights[name].size - int(np.isfinite(weights[name]).sum())
        if bad:
            raise RunError(
                f"{name}: {bad} of {weights[name].size} weights are NaN or infinite; pruning"
                " ranks finite weights only: repair or leave out this checkpoint"
            )
