"""The weights of some tensors as blocks of float32, in one buffer that is used again."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import Array
from analysis.models.tensors import Reader, Tensor
from analysis.progress import Meter

BUFFER = 1 << 24  # weights held at a time: 64 MiB
_PIECE = 1 << 18  # weights read at a time: 1 MiB, which stays in a core's own cache

_of_thread = threading.local()


def _buffer() -> Array:
    """This thread's buffer: made once, since the system clears all memory that it hands out."""
    if getattr(_of_thread, "buffer", None) is None or _of_thread.buffer.size != BUFFER:
        _of_thread.buffer = np.empty(BUFFER, np.float32)
    return _of_thread.buffer


class Blocks:
    """Called, it reads the tensors from the first to the last weight, widened to float32.

    Widening is exact for every type but float64, which is rounded. What fits the buffer whole is
    read from the file once, however often it is called for. The buffer is the thread's: of two
    Blocks in one thread the second overwrites the first, which has to be read to its end before.
    """

    def __init__(self, reader: Reader, tensors: Sequence[Tensor], meter: Meter | None = None):
        self._reader, self._tensors, self._meter = reader, tensors, meter
        self._total = sum(tensor.size for tensor in tensors)
        self._fits = self._total <= BUFFER
        self._readings = 0

    def __call__(self) -> Iterator[Array]:
        self._readings += 1
        buffer, filled = _buffer(), 0
        for tensor, start, stop in self._pieces():
            piece = buffer[filled : filled + stop - start]
            if self._readings == 1 or not self._fits:
                _widen(self._reader, tensor, start, piece)
            if self._readings == 1 and self._meter is not None:
                self._meter.add(piece.size * tensor.dtype.bytes)
            filled += piece.size if self._fits else 0
            yield piece

    def _pieces(self) -> Iterator[tuple[Tensor, int, int]]:
        for tensor in self._tensors:
            for start in range(0, tensor.size, _PIECE):
                yield tensor, start, min(start + _PIECE, tensor.size)


def _widen(reader: Reader, tensor: Tensor, start: int, out: Array) -> None:
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
