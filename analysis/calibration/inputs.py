"""Sums over the calibration tokens of what goes into a linear layer; padding never enters."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs X (tokens, in) of a matrix [out, in], summed over tokens.

    sums, squares   (in,) float64: of x and of x²
    products        (in, in) float32: Xᵀ X, where it was asked for
    """

    tokens: int
    sums: Tensor
    squares: Tensor
    products: Tensor | None = None

    @property
    def norms(self) -> Tensor:
        """‖X_j‖₂ of each input, (in,) float32."""
        return self.squares.sqrt().float()

    @property
    def mean(self) -> Tensor:
        """(in,) float64."""
        return self.sums / self.tokens

    @property
    def variance(self) -> Tensor:
        """(in,) float64, never negative."""
        return (self.squares / self.tokens - self.mean**2).clamp(min=0)


class Sums:
    """Adds up the inputs of one matrix, or of several that share them, batch by batch."""

    def __init__(self, with_products: bool):
        self._with_products = with_products
        self._tokens = 0
        self._sums: Tensor | None = None
        self._squares: Tensor | None = None
        self._products: Tensor | None = None
        self._total: Inputs | None = None

    def add(self, x: Tensor) -> None:
        """Add inputs (tokens, in), of any float type."""
        x = x.float()
        if self._sums is None or self._squares is None:
            zeros = torch.zeros(2, x.shape[1], dtype=torch.float64, device=x.device)
            self._sums, self._squares = zeros
            if self._with_products:
                self._products = torch.zeros(x.shape[1], x.shape[1], device=x.device)
        self._tokens += len(x)
        self._sums += x.sum(0)
        self._squares += x.square().sum(0)
        if self._products is not None:
            self._products.addmm_(x.T, x)

    def total(self) -> Inputs | None:
        """What was added, the same object for all that ask; None if nothing was."""
        if self._total is None and self._sums is not None and self._squares is not None:
            self._total = Inputs(self._tokens, self._sums, self._squares, self._products)
        return self._total if self._tokens else None
