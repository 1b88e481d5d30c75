"""Which of a checkpoint's tensors are its parameters: buffers told apart, what is tied found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.models import naming
from analysis.models.naming import Weight
from analysis.models.tensors import Checkpoint, Reader, Tensor

_BLOCK = 1 << 22  # bytes compared at a time


@dataclass(frozen=True)
class Parameters:
    """A checkpoint's parameters, by the name they are stored under.

    weights    what each tensor of floating numbers is called, the tied ones among them
    left_out   tensors of integers that are no buffers: quantised weights, of which no statistics
               can be had without their scales
    """

    weights: Mapping[str, Weight]
    left_out: list[Tensor]

    @property
    def counted(self) -> dict[str, Weight]:
        """The parameters, each tied one once."""
        return {name: what for name, what in self.weights.items() if what.tied_to is None}


def parameters(checkpoint: Checkpoint, reader: Reader) -> Parameters:
    """The parameters of a checkpoint. Tensors that a model ties are compared, byte by byte."""
    tensors = checkpoint.tensors
    floating = [name for name, tensor in tensors.items() if tensor.dtype.floating]
    left_out = [
        tensor
        for name, tensor in tensors.items()
        if not tensor.dtype.floating and tensor.dtype.name != "bool" and not naming.is_buffer(name)
    ]
    return Parameters(naming.weights(floating, _comparison(tensors, reader)), left_out)


def _comparison(tensors: Mapping[str, Tensor], reader: Reader) -> Callable[[str, str], bool]:
    """Whether two tensors of these names hold the same values."""

    def same(one: str, other: str) -> bool:
        a, b = tensors[one], tensors[other]
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        pieces = np.empty((2, min(_BLOCK, a.bytes)), np.uint8)
        for start in range(0, a.bytes, _BLOCK):
            length = min(_BLOCK, a.bytes - start)
            for tensor, piece in zip((a, b), pieces, strict=True):
                reader.read(tensor, start, piece[:length])
            if not np.array_equal(pieces[0, :length], pieces[1, :length]):
                return False
        return True

    return same
