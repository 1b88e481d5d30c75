"""A checkpoint's tensors as numpy arrays, and their digest.

Floats that numpy lacks (bfloat16, those of 8 bits) are read as float32, which is exact.

A file holds what is tied once, so what is read here is counted, pruned and stored once.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from analysis.arrays import Array
from analysis.errors import RequestError, RunError
from analysis.models.checkpoint import SAFETENSORS, open_checkpoint
from analysis.models.content import combined
from analysis.models.tensors import Checkpoint, Reader, Tensor
from analysis.models.widening import widened

FILE = SAFETENSORS  # what the project itself writes
_OF_NUMPY = ("float64", "float32", "float16")
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
        yield _Unread(checkpoint, reader)


class _Unread(Mapping[str, Array]):
    def __init__(self, checkpoint: Checkpoint, reader: Reader):
        self._tensors, self._reader = checkpoint.tensors, reader

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors  # without reading it

    def __getitem__(self, name: str) -> Array:
        return _array(self._tensors[name], self._reader)


def _array(tensor: Tensor, reader: Reader) -> Array:
    if tensor.dtype.floating and tensor.dtype.name not in _OF_NUMPY:
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
    save_file(dict(tensors), out / FILE, metadata={"format": "pt"})


def weights_sha256(weights: Mapping[str, Array]) -> str:
    """Hex digest over sorted name, dtype, shape and bytes: the same however files are split."""
    return combined(
        (name, str(a.dtype), a.shape, hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest())
        for name, a in weights.items()
    )


def require_finite(weights: Mapping[str, Array], names: Iterable[str]) -> None:
    """Raise RunError, naming the tensor, if one of these holds NaN or infinity."""
    for name in names:
        bad = weights[name].size - int(np.isfinite(weights[name]).sum())
        if bad:
            raise RunError(
                f"{name}: {bad} of {weights[name].size} weights are NaN or infinite; pruning"
                " ranks finite weights only: repair or leave out this checkpoint"
            )
