"""Retained quality against sparsity."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.paper import style
from analysis.paper.cells import Cell
from analysis.paper.data import Data
from analysis.paper.quality.curves import curves


def retained_curves(data: Data) -> Figure:
    """Retained quality against sparsity: a panel a benchmark, a line for each one-shot series.

    The band is the bootstrap interval of the leading method; a series of one level is a mark.
    """
    asked, looks = data.benchmarks, _looks(data)
    if not looks:
        return style.nothing("No pruned model of this study was scored.")
    return curves(data, asked, looks, 2.3, _band)


def _band(axis: Axes, data: Data, cell: Cell) -> None:
    """The intervals of the leading method."""
    rows = [data.find(*cell, data.leading, level) for level in data.levels]
    ends = [
        [np.nan if row is None else row[f"retained_{end}"] for row in rows]
        for end in ("low", "high")
    ]
    low, high = np.array(ends, dtype=float)
    places = range(1, len(data.levels) + 1)
    axis.fill_between(places, low, high, color=style.COLOURS[0], alpha=0.18, lw=0)


def _looks(data: Data) -> dict[str, dict[str, Any]]:
    """A line for each series of several levels; one of a single level is a mark, in the colour of
    the method that it is a pattern of."""
    levels = data.one_shot.groupby("series")["sparsity"].nunique()
    lines = [name for name in data.entrants if levels[name] > 1]
    looks = {name: style.ordinal(i) for i, name in enumerate(lines)}
    for i, name in enumerate(name for name in data.entrants if levels[name] == 1):
        method = name.split(" ")[0].removeprefix("nm-")
        look = looks.get(method, style.ordinal(len(lines) + i))
        marker = style.HOLLOW[i % len(style.HOLLOW)]
        looks[name] = look | {"marker": marker, "linestyle": "", "markerfacecolor": "none"}
    return looks
