"""How a checkpoint's weights are distributed: statistics of each tensor, histograms, CDFs of |w|.

NaN and infinity are counted and left out of everything else.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import Array
from analysis.models.naming import Weight

CUTOFFS = {"below_1e-3": 1e-3, "below_1e-2": 1e-2, "below_1e-1": 1e-1, "below_1": 1.0}
QUANTILES = {
    "q01": 0.01,
    "q05": 0.05,
    "q25": 0.25,
    "q50": 0.50,
    "q75": 0.75,
    "q95": 0.95,
    "q99": 0.99,
}
_LINEAR_BINS = 121
_LINEAR_QUANTILE = 0.999
_LOG_EDGES = np.round(np.arange(-7, 2.01, 0.1), 1)  # log10 of |w|
_CDF_LOG = np.round(np.arange(-5, 1.01, 0.05), 2)
_CDF_LINEAR_POINTS = 101

Floats = NDArray[np.float64]
Row = dict[str, Any]


def statistics(values: Array) -> Row:
    """Count, moments, quantiles of w and fractions of |w| below each cutoff.

    Standard deviation of the population, skewness and excess kurtosis (0 for a normal). What is
    undefined (moments of nothing, shape of a constant) is None.
    """
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    finite = flat[np.isfinite(flat)]
    row: Row = {
        "parameters": flat.size,
        "zeros": int((finite == 0).sum()),
        "not_finite": int(flat.size - finite.size),
    }
    if finite.size == 0:
        empty = ("mean_abs", "std", "skew", "kurtosis", *QUANTILES, *CUTOFFS)
        return row | dict.fromkeys(empty)
    magnitude = np.abs(finite)
    row |= {"mean_abs": float(magnitude.mean()), **_moments(finite)}
    row |= dict(zip(QUANTILES, np.quantile(finite, list(QUANTILES.values())).tolist(), strict=True))
    return row | {name: float((magnitude < cut).mean()) for name, cut in CUTOFFS.items()}


def _moments(finite: Floats) -> Row:
    centred = finite - finite.mean()
    variance = float(np.mean(centred**2))
    if variance == 0:
        return {"std": 0.0, "skew": None, "kurtosis": None}
    return {
        "std": variance**0.5,
        "skew": float(np.mean(centred**3)) / variance**1.5,
        "kurtosis": float(np.mean(centred**4)) / variance**2 - 3,
    }


def leaves(weights: Mapping[str, Array], names: Mapping[str, Weight]) -> list[Row]:
    """Statistics by (part, layer, kind): rows that add up to the model."""
    groups: dict[tuple[str, int, str], list[Array]] = {}
    for name in sorted(weights):
        what = names[name]
        layer = -1 if what.layer is None else what.layer
        groups.setdefault((what.part, layer, what.kind), []).append(weights[name].reshape(-1))
    return [
        {"part": part, "layer": None if layer < 0 else layer, "kind": kind}
        | statistics(np.concatenate(arrays))
        for (part, layer, kind), arrays in sorted(groups.items())
    ]


def scopes(
    weights: Mapping[str, Array], names: Mapping[str, Weight]
) -> Iterator[tuple[str, Array]]:
    """The model, its parts, layers and kinds, each with all its weights in one flat array.

    Scopes are called "model", "part:encoder", "layer:encoder:0" and "kind:ffn in".
    """
    members: dict[str, list[str]] = {"model": sorted(weights)}
    for name in sorted(weights):
        what = names[name]
        members.setdefault(f"part:{what.part}", []).append(name)
        if what.layer is not None:
            members.setdefault(f"layer:{what.part}:{what.layer}", []).append(name)
        members.setdefault(f"kind:{what.kind}", []).append(name)
    for scope, group in members.items():
        yield scope, np.concatenate([weights[name].reshape(-1) for name in group])


def histograms(values: Array) -> list[Row]:
    """Counts of w on a linear scale and of |w| on a logarithmic one; edges in units of w.

    The outermost linear bins reach to the smallest and largest weight, so every finite weight is
    counted; zeros have no logarithm and are left to `zeros`.
    """
    finite = np.asarray(values[np.isfinite(values)], dtype=np.float64)
    if finite.size == 0:
        return []
    magnitude = np.abs(finite)
    reach = float(np.quantile(magnitude, _LINEAR_QUANTILE)) or 1.0
    linear = np.linspace(-reach, reach, _LINEAR_BINS + 1)
    linear[0], linear[-1] = min(linear[0], finite.min()), max(linear[-1], finite.max())
    logarithmic = 10.0**_LOG_EDGES
    clipped = np.clip(magnitude[magnitude > 0], logarithmic[0], logarithmic[-1])
    return _bins("linear", linear, finite) + _bins("log10", logarithmic, clipped)


def _bins(scale: str, edges: Floats, values: Floats) -> list[Row]:
    counts, _ = np.histogram(values, bins=edges)
    return [
        {"scale": scale, "left": float(left), "right": float(right), "count": int(count)}
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def cdf(values: Array) -> list[Row]:
    """The fraction of weights with |w| below each of a row of cutoffs, linear and logarithmic."""
    finite = np.asarray(values[np.isfinite(values)], dtype=np.float64)
    if finite.size == 0:
        return []
    magnitude = np.sort(np.abs(finite))
    reach = float(magnitude[min(magnitude.size - 1, int(_LINEAR_QUANTILE * magnitude.size))]) or 1.0
    grids: Sequence[tuple[str, Floats]] = (
        ("linear", np.linspace(0, reach, _CDF_LINEAR_POINTS)),
        ("log10", 10.0**_CDF_LOG),
    )
    return [
        {"scale": scale, "left": float(x), "fraction": float(below / magnitude.size)}
        for scale, grid in grids
        for x, below in zip(grid, np.searchsorted(magnitude, grid, side="left"), strict=True)
    ]
