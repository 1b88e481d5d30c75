"""Tensors as files have them: a type's name, a shape, raw bytes; and as numpy's arrays."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.checkpoints.tensors import DTYPES, Bytes, Dtype
from analysis.errors import RequestError, RunError
from analysis.storage.kernels import Numbers

BITS = {name: 8 * dtype.bytes for name, dtype in DTYPES.items()} | {
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
}
_CODES = {dtype.name: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Spec:
    """What a tensor is: the name of its type in safetensors, its shape, and how many bytes it has.

    Types that safetensors does not know are kept as the bytes they are.
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def item_bytes(self) -> int:
        """Bytes of an element; 0 where they are not known, or no whole number."""
        bits = BITS.get(self.dtype, 0)
        return 0 if bits % 8 else bits // 8

    @property
    def value_bytes(self) -> int:
        """Bytes that a non-zero element's value takes: none where it can only be `True`."""
        return 0 if self.dtype == "BOOL" else self.item_bytes


def bytes_of(dtype: str, shape: tuple[int, ...]) -> int | None:
    """The bytes of a tensor; None where the type is not known.

    Raises ValueError if elements of a few bits fill no whole bytes.
    """
    if dtype not in BITS:
        return None
    bits = BITS[dtype] * math.prod(shape)
    if bits % 8:
        raise ValueError(f"{math.prod(shape)} elements of {dtype} fill no whole bytes")
    return bits // 8


def numbers_of(spec: Spec, raw: Bytes) -> Numbers:
    """The elements (n,) as unsigned integers, of bytes that lie in memory in a row."""
    return raw.view(f"u{spec.item_bytes}")


def spec_of(dtype: Dtype, shape: tuple[int, ...]) -> Spec:
    """What a tensor of that type and shape is. Raises RequestError if the type is not known."""
    if dtype.name not in _CODES:
        raise RequestError(f"{dtype.name} is not known; allowed: {', '.join(_CODES)}")
    return Spec(_CODES[dtype.name], shape, math.prod(shape) * dtype.bytes)


def from_array(name: str, array: NDArray[Any]) -> tuple[Spec, Bytes]:
    """An array as a file has it. Raises RequestError if safetensors lacks its type."""
    dtype = array.dtype
    if dtype.name not in _CODES:
        raise RequestError(
            f"{name} is an array of {dtype.name}; allowed: {', '.join(_CODES)}: convert it to one"
        )
    there = np.asarray(array, dtype.newbyteorder("<"), order="C")
    raw = there.reshape(-1).view(np.uint8)
    return Spec(_CODES[dtype.name], array.shape, raw.size), raw


def to_array(name: str, spec: Spec, raw: Bytes) -> NDArray[Any]:
    """The tensor as an array of numpy's. Raises RunError if numpy lacks its type or shape."""
    try:
        dtype = np.dtype(DTYPES[spec.dtype].name)
    except (KeyError, TypeError):
        have = ", ".join(sorted(code for code in DTYPES if _in_numpy(code)))
        raise RunError(
            f"{name} is {spec.dtype}, which numpy lacks (it has {have}); ask for its raw bytes"
        ) from None
    try:
        return raw.view(dtype).reshape(spec.shape)
    except ValueError as error:
        raise RunError(f"{name} has shape {spec.shape}, which numpy lacks: {error}") from error


def _in_numpy(code: str) -> bool:
    try:
        return np.dtype(DTYPES[code].name) is not None
    except TypeError:
        return False
