"""The weights of some tensors as blocks of float32, in one buffer that is used again."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from analysis.checkpoints.tensors import Reader, Tensor
from analysis.checkpoints.widening import widen
from analysis.engine.arrays import Array
from analysis.engine.progress import Meter

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
                widen(self._reader, tensor, start, piece)
            if self._readings == 1 and self._meter is not None:
                self._meter.add(piece.size * tensor.dtype.bytes)
            filled += piece.size if self._fits else 0
            yield piece

    def _pieces(self) -> Iterator[tuple[Tensor, int, int]]:
        for tensor in self._tensors:
            for start in range(0, tensor.size, _PIECE):
                yield tensor, start, min(start + _PIECE, tensor.size)
