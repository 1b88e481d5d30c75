"""Splits the neurons of a feed-forward layer into equal experts that are active together.

MoEfication (Zhang et al. 2022, arXiv 2110.01786) puts neurons together by their co-activation. It
cuts a graph of neurons; here the rows of the co-activation matrix are clustered, by the balanced
k-means that it takes for weights (Malinen and Fränti 2014): in each iteration all neurons are
assigned to places in experts at once, at the least sum of squared distances.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from analysis.errors import RunError

Numbers = NDArray[np.float64]
Indices = NDArray[np.intp]

_ITERATIONS = 20


def split(products: Numbers, experts: int, seed: int) -> Indices:
    """The expert of each neuron, (neurons,), every expert given equally many.

    products   (neurons, neurons): Σ |h_i| |h_j| over the calibration tokens
    experts    a divisor of the number of neurons

    Neurons are near where their rows of cosines of co-activation are. The same for the same seed.
    Raises RunError if products are not finite.
    """
    if not np.isfinite(products).all():
        raise RunError("co-activations are not finite; calibrate with smaller activations")
    norms = np.sqrt(np.diagonal(products))
    rows = _unit(products / _nonzero(np.outer(norms, norms)))
    size = len(rows) // experts
    centres = _spread(rows, experts, np.random.default_rng(seed))
    labels: Indices | None = None
    for _ in range(_ITERATIONS):
        distances = (centres**2).sum(axis=1) - 2 * rows @ centres.T  # but for ‖row‖², alike for all
        places = linear_sum_assignment(np.repeat(distances, size, axis=1))[1]
        before, labels = labels, places // size
        if before is not None and (before == labels).all():
            break
        centres = np.stack([rows[labels == expert].mean(axis=0) for expert in range(experts)])
    assert labels is not None
    return labels


def contiguous(labels: Indices) -> Indices:
    """The order of neurons in which each expert's stand together: (neurons,) of indices."""
    return np.argsort(labels, kind="stable")


def _spread(rows: Numbers, count: int, rng: np.random.Generator) -> Numbers:
    """First centres, by k-means++ (Arthur and Vassilvitskii 2007): (count, …) of the rows."""
    chosen = [int(rng.integers(len(rows)))]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
        nearest[chosen] = 0  # exactly: another copy of the row may not be
        total = nearest.sum()
        free = np.setdiff1d(np.arange(len(rows)), chosen)
        chosen.append(int(rng.choice(len(rows), p=nearest / total) if total else free[0]))
    return rows[chosen]


def _unit(rows: Numbers) -> Numbers:
    return rows / _nonzero(np.linalg.norm(rows, axis=1, keepdims=True))


def _nonzero(divisor: Numbers) -> Numbers:
    """With 1 for 0: a neuron that is never active has a row of zeros."""
    return np.where(divisor > 0, divisor, 1.0)
