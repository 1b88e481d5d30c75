"""Weights of every floating type as float32, which is exact for all but float64."""

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import Array
from analysis.models.tensors import Reader, Tensor


def widened(reader: Reader, tensor: Tensor) -> Array:
    """A whole tensor as float32, of its shape."""
    values = np.empty(tensor.size, np.float32)
    widen(reader, tensor, 0, values)
    return values.reshape(tensor.shape)


def widen(reader: Reader, tensor: Tensor, start: int, out: Array) -> None:
    """Fill `out` with the tensor's weights from `start` on."""
    if tensor.dtype.name == "float32":
        reader.read(tensor, start * 4, out.view(np.uint8))
        return
    width = tensor.dtype.bytes
    raw = np.empty(out.size * width, np.uint8)
    reader.read(tensor, start * width, raw)
    if tensor.dtype.name == "bfloat16":
        bits = out.view(np.uint32)
        bits[:] = raw.view(np.uint16)
        bits <<= np.uint32(16)
    elif tensor.dtype.name == "float16":
        out[:] = raw.view(np.float16)
    elif tensor.dtype.name == "float64":
        with np.errstate(over="ignore"):
            out[:] = raw.view(np.float64)
    else:
        out[:] = _EIGHT_BITS[tensor.dtype.name][raw]


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
