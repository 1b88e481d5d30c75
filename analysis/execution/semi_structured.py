"""2:4 sparse tensor cores, on GPUs that have them: two of each four weights in a row are kept.

Often no faster than dense for few tokens: it is one more kernel that is measured, never assumed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.execution.csr import Csr

_FIRST_WITH_IT = (8, 0)  # compute capability
_TYPES = (torch.float16, torch.bfloat16)
_MULTIPLES = (32, 64)  # of rows and columns, for all its types


@dataclass(frozen=True)
class SemiStructured:
    """x Wᵀ + bias by torch's semi-structured tensor."""

    weight: Any  # a SparseSemiStructuredTensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


def possible(matrix: Csr) -> bool:
    """Whether the device has such cores, and the matrix is of a type and pattern for them."""
    values, (rows, columns) = matrix.values, matrix.shape
    if values.device.type != "cuda" or values.dtype not in _TYPES:
        return False
    if torch.cuda.get_device_capability(values.device) < _FIRST_WITH_IT:
        return False
    if rows % _MULTIPLES[0] or columns % _MULTIPLES[1]:
        return False
    return follows_pattern(matrix)


def follows_pattern(matrix: Csr) -> bool:
    """Whether no four weights side by side in a row have more than two that are not zero."""
    rows, columns = matrix.shape
    counts = matrix.pointers.diff().long()
    row = torch.arange(rows, device=counts.device).repeat_interleave(counts)
    group = row * -(-columns // 4) + matrix.columns.long() // 4
    return not len(group) or int(torch.unique_consecutive(group, return_counts=True)[1].max()) <= 2


def product(matrix: Csr, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The product of a matrix for which it is possible."""
    return SemiStructured(torch.sparse.to_sparse_semi_structured(matrix.dense()), bias)
