"""What can multiply activations by a weight matrix: dense, or from its non-zeros.

Each product takes x [tokens, columns] and gives x Wᵀ + bias, [tokens, rows]. None is for training.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.execution import kernels, semi_structured
from analysis.execution.csr import Csr
from analysis.execution.names import DENSE, SEMI_STRUCTURED, TILED_CSR, TORCH_CSR

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Dense:
    """torch's own, which multiplies zeros like any number."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class TorchCsr:
    """torch's sparse matrix, in its one form that neither fails nor crawls: CSR with 32-bit
    indices on the left (as the weight of a linear layer it is refused for some inputs)."""

    matrix: Csr
    bias: Tensor | None

    @functools.cached_property
    def _tensor(self) -> Tensor:
        return self.matrix.torch()

    def __reduce__(self) -> Any:  # torch's tensor cannot be copied, and is made anew
        return TorchCsr, (self.matrix, self.bias)

    def __call__(self, x: Tensor) -> Tensor:
        out = torch.mm(self._tensor, x.t()).t()
        return out if self.bias is None else out + self.bias


@dataclass(frozen=True)
class TiledCsr:
    """The project's kernel for CPUs, in float32; see `kernels`."""

    matrix: Csr
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        matrix, x = self.matrix, x.contiguous()
        out = x.new_empty(x.shape[0], matrix.shape[0])
        kernels.multiply(
            matrix.pointers.numpy(), matrix.columns.numpy(), matrix.values.numpy(),
            self.bias.numpy(), x.numpy(), out.numpy(), torch.get_num_threads(),
        )  # fmt: skip
        return out


def _tiled(matrix: Csr, bias: Tensor | None) -> Product:
    given = matrix.values.new_zeros(matrix.shape[0]) if bias is None else bias
    return TiledCsr(matrix, given.contiguous())


# by the name of the kernel: how to make the product of it from CSR
SPARSE: Mapping[str, Callable[[Csr, Tensor | None], Product]] = {
    TORCH_CSR: TorchCsr,
    TILED_CSR: _tiled,
    SEMI_STRUCTURED: semi_structured.product,
}


def possible(matrix: Csr) -> list[str]:
    """The kernels that can multiply by this matrix where it lies."""
    values = matrix.values
    found = [DENSE]
    if values.dtype in (torch.float32, torch.float64):
        found.append(TORCH_CSR)
    if values.device.type == "cpu" and values.dtype == torch.float32:
        found.append(TILED_CSR)
    if semi_structured.possible(matrix):
        found.append(SEMI_STRUCTURED)
    return found
