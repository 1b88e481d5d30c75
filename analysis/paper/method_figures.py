"""Figures that compare methods: their curves, what training wins back, what each layer bears."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.paper import style
from analysis.paper.data import Data

_FRAME = (-0.3, 1.15)


def retained_curves(data: Data) -> Figure:
    """Retained quality against sparsity: a panel a benchmark, a line for each one-shot series.

    The band is the bootstrap interval of the leading method; a series of one level is a mark.
    """
    cells, looks = data.cells(), _looks(data)
    figure, axes = style.panels(len(cells), 2.3, sharey=True)
    for axis, cell in zip(axes, cells, strict=True):
        for name, look in looks.items():
            _curve(axis, data, cell, name, look)
        low, high = (
            [data.at(*cell, data.methods[0], level)[f"retained_{end}"] for level in data.levels]
            for end in ("low", "high")
        )
        axis.fill_between(
            range(1, len(data.levels) + 1), low, high, color=style.COLOURS[0], alpha=0.18, lw=0
        )
        _finish(axis, data, cell)
    for axis in style.left_column(axes):
        axis.set_ylabel("retained quality")
    handles = [Line2D([], [], label=style.name(name), **look) for name, look in looks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


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


def _curve(axis: Axes, data: Data, cell: tuple[str, str], name: str, look: dict[str, Any]) -> None:
    """The line of one series, from the dense model if it has the lowest level."""
    places = [(1 + i, data.find(*cell, name, level)) for i, level in enumerate(data.levels)]
    points = [(x, row["retained"]) for x, row in places if row is not None]
    if points and points[0][0] == 1:
        points.insert(0, (0, 1.0))
    if len(points) > 1:
        axis.plot(*zip(*points, strict=True), **look)
    elif points:
        axis.plot(*points[0], **(look | {"linestyle": ""}))


def _finish(axis: Axes, data: Data, cell: tuple[str, str]) -> None:
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_title(f"{style.name(cell[0])}: {style.name(data.task_title(cell[1]))}")
    axis.set_ylim(*_FRAME)
    style.level_axis(axis, data.levels)


def recovery_curves(data: Data) -> Figure:
    """Retained quality with and without training: a panel a benchmark that was trained on."""
    cells = [cell for cell in data.cells() if any(_has(data, cell, name) for name in data.trained)]
    if not cells:
        return style.nothing("This study trains no pruned model.")
    figure, axes = style.panels(len(cells), 2.4, sharey=True)
    names = list(dict.fromkeys([*map(data.before, data.trained), *data.trained]))
    for axis, cell in zip(axes, cells, strict=True):
        for i, name in enumerate(names):
            _curve(axis, data, cell, name, style.ordinal(i))
        axis.axhline(0.9, color="black", linewidth=0.6, linestyle=":")
        _finish(axis, data, cell)
    for axis in style.left_column(axes):
        axis.set_ylabel("retained quality")
    handles = [
        Line2D([], [], label=style.name(name), **style.ordinal(i)) for i, name in enumerate(names)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _has(data: Data, cell: tuple[str, str], name: str) -> bool:
    return any(data.find(*cell, name, level) is not None for level in data.levels)


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
        _label_cells(axis, grid)
        axis.set_xticks(range(len(grid.columns)), [f"{100 * s:g}" for s in grid.columns])
        axis.set_yticks(range(len(grid)), [style.name(group) for group in grid.index])
        axis.set_xlabel("sparsity of the group (%)")
        axis.set_title(f"{style.name(model)}: {style.name(data.task_title(task))}")
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
