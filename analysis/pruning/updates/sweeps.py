"""SparseGPT's loop over the columns of a matrix, compiled; it lets other threads run."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analysis.engine.compiled import kept


@kept(njit, nogil=True)
def sweep(
    weight: NDArray[np.float32],
    keep: NDArray[np.bool_],
    factor: NDArray[np.float32],
    errors: NDArray[np.float32],
    span: tuple[int, int],
    pattern: tuple[int, int],
) -> None:
    """SparseGPT's inner loop: remove what `keep` says in the columns of the span, left to right.

    weight, keep (rows, cols) and errors (rows, stop - start) are written; factor (cols, cols) is
    the upper Cholesky factor of the inverse Hessian. What a removed weight did is made up for by
    the weights to its right in the block.

    pattern   N and M: each group of each row is chosen when it is reached, by w² / U_jj², among
              equals the first go; the span is at the ends of groups, or stops at the last column.
              M is 0 where `keep` says it all
    """
    start, stop = span
    kept, group = pattern
    for r in range(weight.shape[0]):
        for i in range(start, stop):
            if group and i % group == 0:
                if i + group > stop:  # what is left over at the end of a row is kept whole
                    for j in range(i, stop):
                        keep[r, j] = True
                else:
                    for j in range(i, i + group):
                        saliency = abs(weight[r, j] / factor[j, j])
                        below = 0
                        for k in range(i, i + group):
                            other = abs(weight[r, k] / factor[k, k])
                            below += other < saliency or (other == saliency and k < j)
                        keep[r, j] = below >= group - kept
            if keep[r, i]:
                errors[r, i - start] = 0
                continue
            error = weight[r, i] / factor[i, i]
            errors[r, i - start] = error
            for j in range(i + 1, stop):
                weight[r, j] -= error * factor[i, j]
            weight[r, i] = 0
