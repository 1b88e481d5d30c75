"""Weights of every floating type as numbers to compute with, and back in the type of their file.

float32 holds every value of the types with fewer bits exactly; float64 stays what it is.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.checkpoints.tensors import Bytes, Dtype, Reader, Tensor
from analysis.engine.arrays import Array


def widened(reader: Reader, tensor: Tensor) -> Array:
    """A whole tensor of its shape, exactly: as float64 if that is its type, else as float32."""
    raw = np.empty(tensor.bytes, np.uint8)
    reader.read(tensor, 0, raw)
    return from_bytes(raw, tensor.dtype).reshape(tensor.shape)


def from_bytes(raw: Bytes, dtype: Dtype) -> Array:
    """The numbers (n,) of contiguous bytes, exactly: as float64 if that is the type, or float32."""
    if dtype.name in ("float32", "float64"):
        exact: Array = raw.view(dtype.name)
        return exact
    values = np.empty(raw.size // dtype.bytes, np.float32)
    _widen(raw, dtype, values)
    return values


def to_bytes(values: Array, dtype: Dtype) -> Bytes:
    """The bytes of numbers in that type, each rounded to the nearest that it has."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if dtype.name in ("float16", "float32", "float64"):
        with np.errstate(over="ignore"):
            return flat.astype(dtype.name, copy=False).view(np.uint8)
    import torch  # numpy has no other

    narrowed = torch.from_numpy(flat).to(getattr(torch, dtype.name))
    raw: Bytes = narrowed.view(torch.uint8).numpy()
    return raw


def widen(reader: Reader, tensor: Tensor, start: int, out: Array) -> None:
    """Fill `out`, of float32, with the tensor's weights from `start` on; float64 is rounded."""
    if tensor.dtype.name == "float32":
        reader.read(tensor, start * 4, out.view(np.uint8))
        return
    raw = np.empty(out.size * tensor.dtype.bytes, np.uint8)
    reader.read(tensor, start * tensor.dtype.bytes, raw)
    _widen(raw, tensor.dtype, out)


def _widen(raw: Bytes, dtype: Dtype, out: Array) -> None:
    if dtype.name == "bfloat16":
        bits = out.view(np.uint32)
        bits[:] = raw.view(np.uint16)
        bits <<= np.uint32(16)
    elif dtype.name in ("float16", "float64"):
        with np.errstate(over="ignore"):
            out[:] = raw.view(dtype.name)
    else:
        out[:] = _EIGHT_BITS[dtype.name][raw]


def _eight_bits() -> dict[str, NDArray[np.float32]]:
    """The values of the 256 codes of each 8-bit float (Micikevicius et al. 2022)."""
    codes = np.arange(256, dtype=np.uint16)
    e5m2 = (codes << np.uint16(8)).view(np.float16).astype(np.float32)  # float16's high byte
    sign = np.where(codes & 128, -1.0, 1.0)
    exponent, mantissa = (codes >> 3 & 15).astype(int), codes & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    e4m3 = sign * np.where(exponent, normal, mantissa / 8 * 2.0**-6)
    e4m3[codes & 127 == 127] = np.nan
    return {"float8_e5m2": e5m2, "float8_e4m3fn": e4m3.astype(np.float32)}


_EIGHT_BITS: dict[str, NDArray[np.float32]] = _eight_bits()
