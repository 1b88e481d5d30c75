"""Retained quality before and after training."""

from matplotlib.axes import Axes

from analysis.paper import cells, style
from analysis.paper.cells import Cell
from analysis.paper.chart import Chart
from analysis.paper.data import Data
from analysis.paper.quality.curves import curves, trained_looks


def recovery_curves(data: Data) -> Chart:
    """Retained quality with and without training: a panel a benchmark that was trained on."""
    asked = [c for c in data.benchmarks if any(_has(data, c, name) for name in data.trained)]
    if not asked:
        return style.nothing("This study trains no pruned model.")
    return curves(data, asked, trained_looks(data), 2.0, _nine_tenths)


def _nine_tenths(_: Chart, axis: Axes, __: Data, ___: Cell) -> None:
    axis.axhline(0.9, color="black", linewidth=0.6, linestyle=":")


def _has(data: Data, cell: Cell, name: str) -> bool:
    """Whether the series was to be had on that benchmark, at any level."""
    levels = data.levels
    return any(data.find(*cell, name, x) is not None for x in levels) or any(
        cells.lacking(data, cell, name, x) for x in levels if cell in data.cells()
    )
