"""Panels of retained quality against sparsity, a line for each series."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.paper import cells, style, text
from analysis.paper.cells import Cell
from analysis.paper.chart import Chart, Series
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
    mark: Callable[[Chart, Axes, Data, Cell], None],
) -> Chart:
    """Panels of so many inches with a line for each look, and what `mark` adds to them."""
    figure, axes = style.panels(len(asked), height, sharey=True)
    for axis, cell in zip(axes, asked, strict=True):
        _finish(axis, data, cell, len(asked))
        if why := _why_empty(data, cell):
            style.say(axis, why)
            continue
        for name, look in looks.items():
            if curve := _curve(axis, data, cell, name, look):
                figure.series.append(curve)
        mark(figure, axis, data, cell)
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


def _legend(figure: Chart, looks: Mapping[str, dict[str, Any]]) -> None:
    handles = [Line2D([], [], **look) for look in looks.values()]
    style.legend(figure, handles, [style.name(name) for name in looks])


def rows(data: Data, cell: Cell, name: str) -> pd.DataFrame:
    """What the benchmark retains under the series, by level, from the dense model on if there is
    the lowest level; as a reader names the columns."""
    found = [data.find(*cell, name, level) for level in data.levels]
    known = [row for row in found if row is not None and pd.notna(row["retained"])]
    if known and known[0]["sparsity"] == data.levels[0]:
        known.insert(0, data.at(*cell, "dense", 0.0))
    return pd.DataFrame(
        [
            {
                "model": cell[0],
                "task": data.task_title(cell[1]),
                "method": name,
                "sparsity": row["sparsity"],
                "retained": 1.0 if row["sparsity"] == 0 else row["retained"],
                "low": row["retained_low"],
                "high": row["retained_high"],
                "variant": row["variant"],
            }
            for row in known
        ]
    )


def places(data: Data, shown: pd.DataFrame) -> list[int]:
    """Where the levels of such rows stand on the axis."""
    return [[0.0, *data.levels].index(level) for level in shown["sparsity"]]


def _curve(axis: Axes, data: Data, cell: Cell, name: str, look: dict[str, Any]) -> Series | None:
    """The line of one series, if anything is known of it; a single level is a mark."""
    shown = rows(data, cell, name)
    if shown.empty:
        return None
    at = list(zip(places(data, shown), shown["retained"], strict=True))
    lines = axis.plot(*zip(*at, strict=True), **look | ({} if len(at) > 1 else {"linestyle": ""}))
    said = [_said(row) for _, row in shown.iterrows()]
    return Series(axis, lines, name, shown, at, said)


def _said(row: pd.Series) -> tuple[str, str, str]:
    """What a point says: its level, its value, and its variant."""
    ends = [text.fixed(row[end]) for end in ("low", "high")]
    interval = "" if pd.isna(row["low"]) else f" ({ends[0]} to {ends[1]})"
    return (
        text.level_or_dense(row["sparsity"]),
        text.fixed(row["retained"]) + interval,
        row["variant"],
    )


def _finish(axis: Axes, data: Data, cell: Cell, panels: int) -> None:
    axis.axhline(0, color="black", linewidth=0.6)
    title = f"{style.name(cell[0])}: {style.name(data.task_title(cell[1]))}"
    style.title(axis, title, style.columns_of(panels))
    axis.set_ylim(*_FRAME)
    style.level_axis(axis, data.levels)
