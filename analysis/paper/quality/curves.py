"""Panels of retained quality against sparsity, a line for each series."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.paper import cells, style
from analysis.paper.cells import Cell
from analysis.paper.data import Data

_FRAME = (-0.3, 1.15)


def looks(data: Data) -> dict[str, dict[str, Any]]:
    """A line for each series of several levels; one of a single level is a mark, in the colour of
    the method that it is a pattern of."""
    levels = data.one_shot.groupby("series")["sparsity"].nunique()
    lines = [name for name in data.entrants if levels[name] > 1]
    found = {name: style.ordinal(i) for i, name in enumerate(lines)}
    for i, name in enumerate(name for name in data.entrants if levels[name] == 1):
        method = name.split(" ")[0].removeprefix("nm-")
        look = found.get(method, style.ordinal(len(lines) + i))
        marker = style.HOLLOW[i % len(style.HOLLOW)]
        found[name] = look | {"marker": marker, "linestyle": "", "markerfacecolor": "none"}
    return found


def trained_looks(data: Data) -> dict[str, dict[str, Any]]:
    """A line for each trained series, and for each that it is held against."""
    names = dict.fromkeys([*map(data.before, data.trained), *data.trained])
    return {name: style.ordinal(i) for i, name in enumerate(names)}


def curves(
    data: Data,
    asked: Sequence[Cell],
    looks: Mapping[str, dict[str, Any]],
    height: float,
    mark: Callable[[Axes, Data, Cell], None],
) -> Figure:
    """Panels of so many inches with a line for each look, and what `mark` adds to them."""
    figure, axes = style.panels(len(asked), height, sharey=True)
    for axis, cell in zip(axes, asked, strict=True):
        _finish(axis, data, cell, len(asked))
        if why := _why_empty(data, cell):
            style.say(axis, why)
            continue
        for name, look in looks.items():
            _curve(axis, data, cell, name, look)
        mark(axis, data, cell)
    for axis in style.left_column(axes):
        axis.set_ylabel("retained quality")
    style.label_below(axes)
    _legend(figure, looks)
    return figure


def _why_empty(data: Data, cell: Cell) -> str:
    """Why nothing can be drawn of a benchmark; empty if something can."""
    if cell not in data.cells():
        return cells.FAILED
    return f"{cells.VOID}: dense is not\nabove chance" if cell in data.void else ""


def _legend(figure: Figure, looks: Mapping[str, dict[str, Any]]) -> None:
    handles = [Line2D([], [], **look) for look in looks.values()]
    style.legend(figure, handles, [style.name(name) for name in looks])


def _curve(axis: Axes, data: Data, cell: Cell, name: str, look: dict[str, Any]) -> None:
    """The line of one series, from the dense model if it has the lowest level."""
    places = [(1 + i, data.find(*cell, name, level)) for i, level in enumerate(data.levels)]
    known = [(x, row["retained"]) for x, row in places if row is not None]
    points = [(x, value) for x, value in known if pd.notna(value)]
    if points and points[0][0] == 1:
        points.insert(0, (0, 1.0))
    if len(points) > 1:
        axis.plot(*zip(*points, strict=True), **look)
    elif points:
        axis.plot(*points[0], **(look | {"linestyle": ""}))


def _finish(axis: Axes, data: Data, cell: Cell, panels: int) -> None:
    axis.axhline(0, color="black", linewidth=0.6)
    title = f"{style.name(cell[0])}: {style.name(data.task_title(cell[1]))}"
    style.title(axis, title, style.columns_of(panels))
    axis.set_ylim(*_FRAME)
    style.level_axis(axis, data.levels)
