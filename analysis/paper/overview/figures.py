"""What pruning costs and saves, in one figure."""

from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from analysis.execution.names import AUTO, DENSE
from analysis.paper import style, text
from analysis.paper.chart import Chart, Series
from analysis.paper.data import Data
from analysis.paper.overview import labels, measures
from analysis.paper.quality.curves import looks, trained_looks
from analysis.paper.runtime.figures import KERNELS

Line = tuple[str, pd.DataFrame, dict[str, Any]]  # label, points, look

_QUALITY = "quality over chance"
_MARKED = {_QUALITY: {1: "dense", 0: "chance"}}  # heights that have a name
_HEIGHT = 2.4
_TOP = 1.15  # of the axis, if nothing is more


def at_a_glance(data: Data) -> Chart:
    """Quality, bytes and milliseconds as shares of the dense model's, against sparsity."""
    known = {
        title: lines for title, make in _PANELS.items() if (lines := _drawable(make(data), data))
    }
    if not known:
        return style.nothing("No pruned model was scored, stored or timed.")
    figure, axes = style.grid(1, len(known), _HEIGHT, sharey=True)
    drawn = [
        _panel(figure, axis, *panel, data) for axis, panel in zip(axes, known.items(), strict=True)
    ]
    axes[0].set_ylabel("share of the dense model\u2019s")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    highest = max(points["share"].max() for lines in known.values() for _, points, _ in lines)
    axes[0].set_ylim(-0.03, max(_TOP, 1.05 * highest))
    figure.draw_without_rendering()  # names are placed where there is room
    for axis, named in zip(axes, drawn, strict=True):
        labels.beside(axis, named, [line for line in axis.lines if line not in named])
    return figure


def _drawable(lines: list[Line], data: Data) -> list[Line]:
    """The lines that have points at levels of the study, with the dense model before them."""
    found = []
    for label, points, look in lines:
        own = points[points["sparsity"].isin([0.0, *data.levels])]
        if own.empty:
            continue
        if own["sparsity"].iloc[0] == data.levels[0]:
            dense = pd.DataFrame([(0.0, 1.0, 1.0, 1.0)], columns=list(own.columns))
            own = pd.concat([dense, own.astype(float)], ignore_index=True)
        found.append((label, own, look))
    return found


def _panel(figure: Chart, axis: Axes, title: str, lines: list[Line], data: Data) -> list[Line2D]:
    """The lines of a panel, the first with its band, between dense and nothing."""
    order = [0.0, *data.levels]
    found = []
    for label, points, look in lines:
        places = [order.index(level) for level in points["sparsity"]]
        artists: list[Any] = axis.plot(places, points["share"].astype(float), label=label, **look)
        found += artists
        if not found[1:]:
            ends = (points[end].astype(float) for end in ("low", "high"))
            band = axis.fill_between(places, *ends, color=look["color"], alpha=0.18, lw=0)
            artists = [*artists, band]
        figure.series.append(_series(axis, title, label, points, places, artists))
    for height, label in _MARKED.get(title, {1: "", 0: ""}).items():
        line = axis.axhline(height, color=style.INK, linewidth=0.7, label=label or "_")
        found += [line] if label else []
    axis.set_title(title)
    style.level_axis(axis, data.levels)
    return found


def _series(
    axis: Axes, title: str, label: str, points: pd.DataFrame, places: list[int], artists: list[Any]
) -> Series:
    """One line, with its numbers."""
    numbers = points[["sparsity", "share", "low", "high"]].astype(float)
    rows = pd.concat(
        [pd.DataFrame({"of": title, "line": label.strip()}, points.index), numbers], axis=1
    )
    said = [_said(row) for _, row in numbers.iterrows()]
    at = list(zip(places, numbers["share"], strict=True))
    return Series(axis, artists, label.strip(), rows, at, said)


def _said(row: pd.Series) -> tuple[str, str, str]:
    """What a point says: its level, and its value with what it lies between."""
    ends = " to ".join(text.percent(row[end]) for end in ("low", "high"))
    between = f" ({ends})" if pd.notna(row["low"]) and row["low"] < row["high"] else ""
    return text.level_or_dense(row["sparsity"]), text.percent(row["share"]) + between, ""


def _quality(data: Data) -> list[Line]:
    """The leading method, the best one, and the best of those that were trained."""
    best, trained, one_shot = measures.best(data), measures.best_trained(data), looks(data)
    found = []
    if data.leading:
        found.append((data.leading, measures.leading(data)))
    if best not in ("", data.leading):
        found.append((best, measures.best_quality(data)))
    lines = [(style.name(name), points, one_shot[name]) for name, points in found]
    if trained:
        look = trained_looks(data)[trained]
        lines.append((style.name(trained), measures.trained_quality(data), look))
    return lines


def _bytes(data: Data) -> list[Line]:
    """The sparse file, what its entropy would take, and the dense file."""
    files = measures.sizes(data)
    formats = list(dict.fromkeys(data["size"]["format"]))
    if files.empty:
        return []
    sparse = measures.over_models(files)
    dense = sparse.assign(share=1.0, low=1.0, high=1.0)
    bound = {"color": style.INK, "linestyle": ":", "marker": "", "linewidth": 0.9}
    return [
        ("sparse format", sparse, style.ordinal(formats.index(AUTO))),
        ("dense format", dense, style.ordinal(0)),
        ("entropy bound", measures.over_models(files, "bound"), bound),
    ]


def _time(data: Data) -> list[Line]:
    """Dense kernels, those that skip zeros, and these at true size."""
    true = measures.times_at_true_size(data)
    kernels = [
        ("skipping zeros", measures.times(data, AUTO), AUTO),
        ("dense kernels", measures.times(data, DENSE), DENSE),
        ("at true size", true, "" if true.empty else true["kernel"].iloc[0]),
    ]
    return [
        (label, measures.over_models(rows), style.ordinal(KERNELS.index(kernel)))
        for label, rows, kernel in kernels
        if not rows.empty
    ]


_PANELS: dict[str, Callable[[Data], list[Line]]] = {
    _QUALITY: _quality,
    "bytes of the file": _bytes,
    "milliseconds of a pass": _time,
}
