"""Retained quality against sparsity."""

from matplotlib.axes import Axes

from analysis.paper import style
from analysis.paper.cells import Cell
from analysis.paper.chart import Chart, Series
from analysis.paper.data import Data
from analysis.paper.quality import seeds
from analysis.paper.quality.curves import curves, looks, places, rows


def retained_curves(data: Data) -> Chart:
    """Retained quality against sparsity: a panel a benchmark, a line for each one-shot series.

    The band is the bootstrap interval of the leading method; bars go from the least to the most
    that it retains over seeds. A series of one level is a mark.
    """
    asked, known = data.benchmarks, looks(data)
    if not known:
        return style.nothing("No pruned model of this study was scored.")
    return curves(data, asked, known, 1.85, _band)


def _band(figure: Chart, axis: Axes, data: Data, cell: Cell) -> None:
    """The intervals of the leading method, and its range over seeds."""
    shown = rows(data, cell, data.leading)
    shown = shown[shown["sparsity"] > 0] if len(shown) else shown
    if len(shown):
        at, ends = places(data, shown), (shown["low"].astype(float), shown["high"].astype(float))
        band = axis.fill_between(at, *ends, color=style.COLOURS[0], alpha=0.18, lw=0)
        figure.series.append(Series(axis, [band], data.leading, shown))
    for one in seeds.spreads(data, [cell]):
        x = 1 + data.levels.index(one.level)
        axis.plot(
            [x, x], [one.least, one.most], color=style.INK, marker="_", linewidth=0.8, zorder=4
        )
