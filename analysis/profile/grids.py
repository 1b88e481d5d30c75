"""Histograms and CDFs from counts by bin: their edges are bins' edges, so their counts are exact.

Wanted edges (equal steps, decades) are moved to the nearest edge of a bin, less than half a per
cent away.
"""

import numpy as np

from analysis.profile import bits
from analysis.profile.bits import FINITE, MAGNITUDES, Counts, Floats
from analysis.profile.leaf import Row

_LINEAR_BINS = 60  # on each side of zero
_LINEAR_QUANTILE = 0.999
_LOG_EDGES = np.round(np.arange(-7, 2.01, 0.1), 1)  # log10 of |w|
_CDF_LOG = np.round(np.arange(-7, 2.01, 0.05), 2)
_CDF_LINEAR_POINTS = 101


def histograms(counts: Counts, zeros: int) -> list[Row]:
    """Counts of w on a linear scale and of |w| on a logarithmic one; edges in units of w.

    The outermost bins reach to the smallest and the largest weight. The `zeros` have no logarithm
    and are left out of that scale.
    """
    by_magnitude = bits.magnitude_counts(counts)
    if not by_magnitude.any():
        return []
    edges = bits.magnitude_edges()
    used = _places(edges, np.linspace(0, _reach(by_magnitude), _LINEAR_BINS + 1))
    used[-1] = max(used[-1], int(np.flatnonzero(by_magnitude)[-1]) + 1)
    used = np.unique(used)
    sides = [counts[:FINITE], counts[MAGNITUDES : MAGNITUDES + FINITE]]
    positive, negative = (_counted(side, used) for side in sides)
    linear = np.concatenate([-edges[used][:0:-1], edges[used]])
    rows = _bins("linear", linear, np.concatenate([negative[::-1], positive]))
    decades = _places(edges, 10.0**_LOG_EDGES)
    nonzero = by_magnitude.copy()
    nonzero[0] -= zeros
    inside = _counted(nonzero, decades)
    inside[0] += nonzero[: decades[0]].sum()
    inside[-1] += nonzero[decades[-1] :].sum()
    return rows + _bins("log10", edges[decades], inside)


def cdf(counts: Counts) -> list[Row]:
    """The fraction of weights with |w| below each of a row of cutoffs, linear and logarithmic."""
    by_magnitude = bits.magnitude_counts(counts)
    total = int(by_magnitude.sum())
    if not total:
        return []
    edges = bits.magnitude_edges()
    below = np.concatenate([[0], np.cumsum(by_magnitude)])
    grids = {
        "linear": np.linspace(0, _reach(by_magnitude), _CDF_LINEAR_POINTS),
        "log10": 10.0**_CDF_LOG,
    }
    return [
        {"scale": scale, "left": float(edges[place]), "fraction": int(below[place]) / total}
        for scale, grid in grids.items()
        for place in np.unique(_places(edges, grid))
    ]


def _reach(by_magnitude: Counts) -> float:
    """A magnitude that all but a thousandth of the weights stay below."""
    below = np.cumsum(by_magnitude)
    place = int(np.searchsorted(below, _LINEAR_QUANTILE * below[-1]))
    return float(bits.magnitude_edges()[place + 1])


def _places(edges: Floats, wanted: Floats) -> Counts:
    """The places of the edges nearest to the wanted ones."""
    right = np.clip(np.searchsorted(edges, wanted), 1, edges.size - 1)
    nearer_left = wanted - edges[right - 1] < edges[right] - wanted
    return (right - nearer_left).astype(np.int64)


def _counted(by_magnitude: Counts, places: Counts) -> Counts:
    """Counts between neighbouring edges at these places."""
    below = np.concatenate([[0], np.cumsum(by_magnitude)])
    return np.diff(below[places])


def _bins(scale: str, edges: Floats, counts: Counts) -> list[Row]:
    return [
        {"scale": scale, "left": float(left), "right": float(right), "count": int(count)}
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
