"""Optimal brain surgeon as in SparseGPT (Frantar & Alistarh 2023, arXiv 2301.00774).

For a matrix W [out, in] and inputs X (tokens, in) it looks for a sparse Ŵ with a small error
‖X Wᵀ − X Ŵᵀ‖², column by column: what a removed weight did is made up for by those to its right.
"""

import weakref
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import lapack
from torch import Tensor

from analysis.calibration.inputs import Inputs
from analysis.engine import threads
from analysis.engine.arrays import Mask
from analysis.errors import RunError
from analysis.pruning.groups.columns import BLOCK, COLUMNS
from analysis.pruning.groups.n_of_m import pieces
from analysis.pruning.patterns import Pattern
from analysis.pruning.scores.ranking import keys_of
from analysis.pruning.updates import Kept, sweeps

PRODUCTS = True
DAMPING = 0.01  # of the Hessian's mean diagonal, added to it
_MOST_DAMPING = 1e4
_PIECE = 1 << 20  # weights

Floats = NDArray[np.float32]


def prune(
    method: ModuleType, weight: Tensor, inputs: Inputs, quota: NDArray[np.int64] | Pattern
) -> Kept:
    """Remove what costs least of blocks of columns or of groups, and correct the rest.

    The score is its own: w² / U_jj² of the weights as they are corrected so far.
    """
    found = factor(inputs)
    mask, new = solve(weight, found, quota)
    return Kept(mask, new, note(found))


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


def solve(weight: Tensor, found: Factor, quota: NDArray[np.int64] | Pattern) -> tuple[Mask, Tensor]:
    """Keep-mask and new weights of a matrix [out, in], float32.

    quota   how many weights go of each block of BLOCK columns, or the pattern of each group

    Block after block is swept, each one's errors made up for by all columns after it.
    """
    w = weight.detach().to("cpu", torch.float32, copy=True).contiguous()
    given = w[:, found.silent].clone()
    w[:, found.silent] = 0
    keep, upper = np.ones(w.shape, np.bool_), found.upper
    now, u = w.numpy(), upper.numpy()
    kept, group = (quota.kept, quota.group) if isinstance(quota, Pattern) else (0, 0)
    width = BLOCK // group * group if group else BLOCK  # patterns are of 32 at most
    for a in range(0, w.shape[1], width):
        b = min(a + width, w.shape[1])
        errors = torch.zeros(len(w), b - a)
        if not isinstance(quota, Pattern):
            scores = np.abs(now[:, a:b] / u.diagonal()[a:b])
            keep[:, a:b] = COLUMNS.keep(keys_of(scores), quota[a // BLOCK][None])
        e, known = errors.numpy(), ((a, b), (kept, group))
        parts = [(now[rows], keep[rows], u, e[rows], *known) for rows in pieces(len(w))]
        for _ in threads.each(lambda part: sweeps.sweep(*part), parts):
            pass
        w[:, b:] -= errors @ upper[a:b, b:]
    # weights of silent inputs do nothing; those that are not removed stay what they were
    w[:, found.silent] = given * torch.from_numpy(keep[:, found.silent.numpy()])
    return keep, w.to(weight.device)


def note(found: Factor) -> str:
    """What a reader should know: that more damping was needed than the method's own."""
    return f"damped by {found.damping:g} of the mean diagonal" if found.damping > DAMPING else ""
