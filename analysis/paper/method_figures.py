"""Figures that compare methods: their curves, what training wins back, what each layer bears."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.paper import cells, style
from analysis.paper.cells import Cell
from analysis.paper.data import Data

_FRAME = (-0.3, 1.15)
_LABELLED_ROWS = 16  # of a heat map: more leave no room for numbers
_NAMED_ROWS = 14


def retained_curves(data: Data) -> Figure:
    """Retained quality against sparsity: a panel a benchmark, a line for each one-shot series.

    The band is the bootstrap interval of the leading method; a series of one level is a mark.
    """
    asked, looks = data.benchmarks, _looks(data)
    if not looks:
        return style.nothing("No pruned model of this study was scored.")
    return _retained(data, asked, looks, 2.3, _band)


def _retained(
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
    _legend(figure, looks)
    return figure


def _why_empty(data: Data, cell: Cell) -> str:
    """Why nothing can be drawn of a benchmark; empty if something can."""
    if cell not in data.cells():
        return cells.FAILED
    return f"{cells.VOID}: dense is not\nabove chance" if cell in data.void else ""


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


def _legend(figure: Figure, looks: Mapping[str, dict[str, Any]]) -> None:
    handles = [Line2D([], [], **look) for look in looks.values()]
    style.legend(figure, handles, [style.name(name) for name in looks])


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


def recovery_curves(data: Data) -> Figure:
    """Retained quality with and without training: a panel a benchmark that was trained on."""
    asked = [c for c in data.benchmarks if any(_has(data, c, name) for name in data.trained)]
    if not asked:
        return style.nothing("This study trains no pruned model.")
    names = list(dict.fromkeys([*map(data.before, data.trained), *data.trained]))
    looks = {name: style.ordinal(i) for i, name in enumerate(names)}
    return _retained(data, asked, looks, 2.4, _nine_tenths)


def _nine_tenths(axis: Axes, data: Data, cell: Cell) -> None:
    axis.axhline(0.9, color="black", linewidth=0.6, linestyle=":")


def _has(data: Data, cell: Cell, name: str) -> bool:
    """Whether the series was to be had on that benchmark, at any level."""
    levels = data.levels
    return any(data.find(*cell, name, x) is not None for x in levels) or any(
        cells.lacking(data, cell, name, x) for x in levels if cell in data.cells()
    )


def sensitivity_map(data: Data) -> Figure:
    """What is retained with one group of matrices pruned alone: a panel a benchmark."""
    table = data["sensitivity"]
    panels = list(table.groupby(["model", "task"], sort=False))
    if not panels:
        return style.nothing("This study prunes no layer alone.")
    most = max(part["group"].nunique() for _, part in panels)
    figure, axes = style.panels(len(panels), 0.9 + 0.3 * most)
    image = None
    for axis, ((model, task), part) in zip(axes, panels, strict=True):
        grid = part.pivot(index="group", columns="sparsity", values="retained")
        grid = grid.loc[list(dict.fromkeys(part["group"]))]  # as the model has them
        shown = np.clip(grid.to_numpy(dtype=float), 0, 1)
        image = axis.imshow(shown, aspect="auto", cmap="viridis", vmin=0, vmax=1)
        if len(grid) <= _LABELLED_ROWS:
            _label_cells(axis, grid)
        axis.set_xticks(range(len(grid.columns)), [f"{100 * s:g}" for s in grid.columns])
        step = -(-len(grid) // _NAMED_ROWS)
        axis.set_yticks(range(0, len(grid), step), list(map(style.name, grid.index[::step])))
        axis.set_xlabel("sparsity of the group (%)")
        title = f"{style.name(model)}: {style.name(data.task_title(task))}"
        style.title(axis, title, style.columns_of(len(panels)))
        if (model, task) in data.void:
            style.say(axis, cells.VOID)
        axis.grid(False)
    if image is not None:
        figure.colorbar(image, ax=axes, label="retained quality", shrink=0.9, aspect=14)
    return figure


def _label_cells(axis: Axes, grid: pd.DataFrame) -> None:
    """The numbers themselves, dark on light cells and light on dark ones."""
    for y, x in np.ndindex(grid.shape):
        value = grid.iloc[y, x]
        if pd.notna(value):
            colour = "white" if value < 0.6 else "black"
            axis.text(x, y, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
