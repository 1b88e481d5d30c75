"""Retained quality against sparsity."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.paper import style
from analysis.paper.cells import Cell
from analysis.paper.data import Data
from analysis.paper.quality import seeds
from analysis.paper.quality.curves import curves, looks


def retained_curves(data: Data) -> Figure:
    """Retained quality against sparsity: a panel a benchmark, a line for each one-shot series.

    The band is the bootstrap interval of the leading method; bars go from the least to the most
    that it retains over seeds. A series of one level is a mark.
    """
    asked, known = data.benchmarks, looks(data)
    if not known:
        return style.nothing("No pruned model of this study was scored.")
    return curves(data, asked, known, 1.85, _band)


def _band(axis: Axes, data: Data, cell: Cell) -> None:
    """The intervals of the leading method, and its range over seeds."""
    rows = [data.find(*cell, data.leading, level) for level in data.levels]
    ends = [
        [np.nan if row is None else row[f"retained_{end}"] for row in rows]
        for end in ("low", "high")
    ]
    low, high = np.array(ends, dtype=float)
    places = range(1, len(data.levels) + 1)
    axis.fill_between(places, low, high, color=style.COLOURS[0], alpha=0.18, lw=0)
    for one in seeds.spreads(data, [cell]):
        x = 1 + data.levels.index(one.level)
        span = np.array([one.least, one.most])
        axis.plot([x, x], span, color=style.INK, marker="_", linewidth=0.8, zorder=4)
