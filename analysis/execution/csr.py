"""A weight matrix in compressed sparse rows, as both torch and the project's kernels read it."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.errors import RequestError

_MOST = 2**31 - 1
# torch says so once a process; what is used of it is tested here
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


@dataclass(frozen=True)
class Csr:
    """A matrix [rows, columns] that keeps its non-zeros alone, on the device of its weights.

    pointers  int32 [rows + 1]: where each row begins among the non-zeros
    columns   int32 [non-zeros], rising within a row
    values    [non-zeros], of the weights' type
    """

    pointers: Tensor
    columns: Tensor
    values: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, weight: Tensor) -> "Csr":
        """The non-zeros of a dense matrix. Raises RequestError if they are too many for 32 bits."""
        rows, columns = weight.shape
        places = weight != 0
        counts = places.sum(dim=1)
        if int(counts.sum()) > _MOST:
            raise RequestError(
                f"a matrix of {rows} x {columns} has over {_MOST} non-zeros, too many for 32-bit"
                " indices; leave it dense"
            )
        pointers = torch.zeros(rows + 1, dtype=torch.int32, device=weight.device)
        pointers[1:] = counts.cumsum(0)
        found = places.nonzero(as_tuple=True)[1].to(torch.int32)
        return cls(pointers, found, weight[places], (rows, columns))

    def dense(self) -> Tensor:
        """The matrix with its zeros."""
        return self.torch().to_dense()

    def torch(self) -> Tensor:
        """The same memory as one of torch's sparse tensors."""
        return torch.sparse_csr_tensor(
            self.pointers, self.columns, self.values, self.shape, check_invariants=False
        )

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return sum(t.nbytes for t in (self.pointers, self.columns, self.values))

    @property
    def density(self) -> float:
        """The share of its elements that are not zero."""
        return self.values.numel() / max(1, self.shape[0] * self.shape[1])
