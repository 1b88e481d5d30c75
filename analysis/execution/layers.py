"""A linear layer that answers from its non-zeros, by the kernel that is fastest for the input."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import RunError
from analysis.execution.csr import Csr
from analysis.execution.names import DENSE
from analysis.execution.products import SPARSE, Dense, Product


class SparseLinear(nn.Module):
    """In place of a linear layer, for inference: y = x Wᵀ + b for x of any batch shape.

    plan       the kernel for numbers of tokens; other numbers go by the nearest in proportion
    turned     the layer that it stands for keeps its weight as [in, out], as GPT-2's do
    trainable  the weights of that layer ask for gradients

    It holds W once in CSR, and once more dense if the plan names the dense kernel for some input.
    """

    def __init__(
        self,
        matrix: Csr,
        bias: Tensor | None,
        plan: Mapping[int, str],
        turned: bool = False,
        trainable: bool = True,
    ):
        super().__init__()
        self.matrix, self.bias, self.plan = matrix, bias, dict(plan)
        self.turned, self.trainable = turned, trainable
        self.out_features, self.in_features = self.nf, self.nx = matrix.shape
        self._products: dict[str, Product] = {
            name: Dense(matrix.dense(), bias) if name == DENSE else SPARSE[name](matrix, bias)
            for name in sorted(set(plan.values()))
        }
        self._known: dict[int, Product] = {}

    @property
    def weight(self) -> Tensor:
        """The non-zeros: architectures ask a layer's weight for its type and device."""
        return self.matrix.values

    def forward(self, x: Tensor) -> Tensor:
        """y [..., out] of x [..., in]. Raises RunError if x is of another type or width, or if
        gradients are asked of it."""
        if torch.is_grad_enabled() and x.requires_grad:
            raise RunError(
                "a sparse layer cannot be trained; call the model within torch.inference_mode(), or"
                " convert it back first"
            )
        if x.dtype != self.weight.dtype or x.shape[-1] != self.in_features:
            raise RunError(
                f"a sparse layer takes {self.weight.dtype} of width {self.in_features}, not"
                f" {x.dtype} of width {x.shape[-1]}; call the model as the dense one, without"
                " autocast"
            )
        flat = x.reshape(-1, self.in_features)
        tokens = flat.shape[0]
        if not tokens:
            return x.new_zeros(*x.shape[:-1], self.out_features)
        product = self._known.get(tokens)
        if product is None:
            product = self._known[tokens] = self._products[self.kernel(tokens)]
        return product(flat.detach()).reshape(*x.shape[:-1], self.out_features)

    def kernel(self, tokens: int) -> str:
        """The kernel for an input of so many tokens."""
        nearest = min(self.plan, key=lambda planned: abs(math.log(planned / tokens)))
        return self.plan[nearest]

    @property
    def bytes(self) -> int:
        """What the weights take in memory, in every form that is held."""
        dense = math.prod(self.matrix.shape) * self.matrix.values.itemsize
        return self.matrix.bytes + (dense if DENSE in self._products else 0)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        moved = fn(self.matrix.values[:0])
        if (moved.dtype, moved.device) != (self.weight.dtype, self.weight.device):
            raise RunError(
                "a sparse model stays on its device, in its type; convert it back, move it, and"
                " make it sparse again"
            )
        return self

    def _save_to_state_dict(self, *_: Any) -> None:
        raise RunError("a sparse model cannot be saved; convert it back with densify first")

    def extra_repr(self) -> str:
        rows, columns = self.matrix.shape
        return f"{columns} to {rows}, density {self.matrix.density:.3g}, {self.plan}"
