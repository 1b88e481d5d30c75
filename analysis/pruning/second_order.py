"""The solver of SparseGPT (Frantar & Alistarh 2023, arXiv 2301.00774): one matrix at a time.

For a matrix W [out, in] and inputs X (tokens, in) it looks for a sparse Ŵ with a small error
‖X Wᵀ − X Ŵᵀ‖², column by column: what a removed weight did is made up for by those to its right.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import lapack
from torch import Tensor

from analysis.calibration.inputs import Inputs
from analysis.engine import threads
from analysis.engine.arrays import Mask
from analysis.errors import RunError
from analysis.pruning import sweeps
from analysis.pruning.groups import pieces
from analysis.pruning.patterns import Pattern
from analysis.pruning.rows import keep_largest_in_rows
from analysis.pruning.selection import keys_of

BLOCK = 128  # columns that are chosen together
DAMPING = 0.01  # of the Hessian's mean diagonal, added to it
_MOST_DAMPING = 1e4
_PIECE = 1 << 20  # weights

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Factor:
    """U (in, in) float32: the upper Cholesky factor of the inverse Hessian.

    silent    (in,): inputs that are zero in every token; their weights do nothing
    damping   what was needed to factor, as a share of the mean diagonal
    """

    upper: Tensor
    silent: Tensor
    damping: float


_factors: weakref.WeakKeyDictionary[Inputs, Factor] = weakref.WeakKeyDictionary()


def factor(inputs: Inputs) -> Factor:
    """U of H = (2/n) XᵀX, computed once for matrices that share their inputs.

    Raises RunError if the Hessian cannot be factored however much it is damped.
    """
    found = _factors.get(inputs)
    if found is None:
        found = _factors[inputs] = _factored(inputs)
    return found


def _factored(inputs: Inputs) -> Factor:
    """With J the reversal of the order of inputs, J H J = Rᵀ R gives U = J R⁻ᵀ J."""
    if inputs.products is None:
        raise ValueError("the inputs' products are needed")
    products = inputs.products.cpu().numpy()
    silent = np.ascontiguousarray(products.diagonal() == 0)
    damping = DAMPING
    while np.isfinite(products.diagonal()).all() and damping <= _MOST_DAMPING:
        hessian = np.array(products[::-1, ::-1], order="C")
        hessian *= np.float32(2 / inputs.tokens)
        diagonal = np.einsum("ii->i", hessian)
        diagonal[silent[::-1]] = 1
        diagonal += np.float32(damping) * diagonal.mean()
        # symmetric, so its transpose is the same and in LAPACK's order: all is done in place
        root, failed = lapack.spotrf(hessian.T, lower=0, overwrite_a=1)
        if not failed:
            inverse, failed = lapack.strtri(root, lower=0, overwrite_c=1)
            if not failed and np.isfinite(inverse.diagonal()).all():
                _reverse(inverse.T.reshape(-1))  # both axes at once
                return Factor(torch.from_numpy(inverse.T), torch.from_numpy(silent), damping)
        damping *= 10
    raise RunError(
        "the inputs' products cannot be factored however they are damped; calibrate on more texts"
    )


def _reverse(numbers: Floats) -> None:
    """Reverse in place, a piece at each end at a time."""
    for start in range(0, numbers.size // 2, _PIECE):
        stop = min(start + _PIECE, numbers.size // 2)
        head, tail = numbers[start:stop], numbers[numbers.size - stop : numbers.size - start]
        head[:], tail[:] = tail[::-1].copy(), head[::-1].copy()


def solve(weight: Tensor, found: Factor, removed: NDArray[np.int64]) -> tuple[Mask, Tensor]:
    """Keep-mask and new weights of a matrix [out, in], float32.

    removed   how many weights go of each block of BLOCK columns
    """

    def choose_and_sweep(w: Floats, keep: Mask, u: Floats, errors: Floats, a: int, b: int) -> None:
        scores = np.abs(w[:, a:b] / u.diagonal()[a:b])
        chosen = keep_largest_in_rows(keys_of(scores)[None], removed[a // BLOCK][None])
        keep[:, a:b] = chosen.reshape(scores.shape)
        for _ in threads.each(
            lambda rows: sweeps.sweep(w[rows], keep[rows], u, errors[rows], a, b), pieces(len(w))
        ):
            pass

    return _by_blocks(weight, found, BLOCK, choose_and_sweep)


def solve_groups(weight: Tensor, found: Factor, pattern: Pattern) -> tuple[Mask, Tensor]:
    """The same for an N:M pattern: each group of each row is chosen when the sweep reaches it."""

    def sweep(w: Floats, keep: Mask, u: Floats, errors: Floats, a: int, b: int) -> None:
        for _ in threads.each(
            lambda rows: sweeps.sweep_groups(
                w[rows], keep[rows], u, errors[rows], a, b, (pattern.kept, pattern.group)
            ),
            pieces(len(w)),
        ):
            pass

    return _by_blocks(weight, found, max(1, BLOCK // pattern.group) * pattern.group, sweep)


def blocks_of(columns: int) -> list[int]:
    """How many columns each block has."""
    return [min(BLOCK, columns - start) for start in range(0, columns, BLOCK)]


def _by_blocks(
    weight: Tensor,
    found: Factor,
    width: int,
    sweep: Callable[[Floats, Mask, Floats, Floats, int, int], None],
) -> tuple[Mask, Tensor]:
    """Sweep block after block, each block's errors made up for by all columns after it."""
    w = weight.detach().to("cpu", torch.float32, copy=True).contiguous()
    given = w[:, found.silent].clone()
    w[:, found.silent] = 0
    upper = found.upper
    keep = np.ones(w.shape, np.bool_)
    for a in range(0, w.shape[1], width):
        b = min(a + width, w.shape[1])
        errors = torch.zeros(len(w), b - a)
        sweep(w.numpy(), keep, upper.numpy(), errors.numpy(), a, b)
        w[:, b:] -= errors @ upper[a:b, b:]
    # weights of silent inputs do nothing; those that are not removed stay what they were
    w[:, found.silent] = given * torch.from_numpy(keep[:, found.silent.numpy()])
    return keep, w.to(weight.device)


def note(found: Factor) -> str:
    """What a reader should know: that more damping was needed than the method's own."""
    return f"damped by {found.damping:g} of the mean diagonal" if found.damping > DAMPING else ""
