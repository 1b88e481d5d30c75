"""Bytes against sparsity."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analysis.paper import style, text
from analysis.paper.chart import Chart, Series
from analysis.paper.data import Data

_ALIKE = 8  # times as large: files that can share an axis


def bytes_by_level(data: Data) -> Chart:
    """Bytes of each format against sparsity, with the entropy bound, a panel a model."""
    stored = [model for model in data.models if len(data.sizes_of(model))]
    if not stored:
        return style.nothing("No file of this study was written.")
    figure, axes = style.panels(len(data.models), 2.1, sharey=_alike(data, stored))
    for axis, model in zip(axes, data.models, strict=True):
        style.title(axis, style.name(model), style.columns_of(len(axes)))
        style.level_axis(axis, data.levels)
        rows = data.sizes_of(model)
        formats = list(dict.fromkeys(rows["format"]))
        if not formats:
            style.say(axis, "failed")
            continue
        for i, name in enumerate(formats):
            part = rows[rows["format"] == name]
            look = style.ordinal(i) | {"label": name}
            figure.series.append(_line(axis, data, part, "bytes", look))
        part = rows[rows["format"] == formats[0]]
        look = {"color": style.INK, "linestyle": ":", "marker": "", "label": "entropy bound"}
        figure.series.append(_line(axis, data, part, "bound_bytes", look))
    for axis in axes:  # after all are drawn: they may be shared
        axis.set_ylim(bottom=0)
    for axis in style.left_column(axes):
        axis.set_ylabel("file size (MB)")
    style.label_below(axes)
    style.legend(figure, *style.entries(axes))
    return figure


def _line(axis: Axes, data: Data, rows: pd.DataFrame, column: str, look: dict[str, Any]) -> Series:
    """Megabytes by level, dense first, where there is a file."""
    levels = [0.0, *data.levels]
    rows = rows[rows["sparsity"].isin(levels)].sort_values("sparsity")
    shown = pd.DataFrame(
        {
            "model": rows["variant"].map(data.variants.set_index("variant")["model"]),
            "format": look["label"],
            "sparsity": rows["sparsity"],
            "megabytes": rows[column].astype(float) / 1e6,
            "variant": rows["variant"],
        }
    )
    places = [levels.index(level) for level in shown["sparsity"]]
    lines = axis.plot(places, shown["megabytes"], **look)
    said = [
        (text.level_or_dense(row["sparsity"]), f"{row['megabytes']:.2f} MB", row["variant"])
        for _, row in shown.iterrows()
    ]
    at = list(zip(places, shown["megabytes"], strict=True))
    return Series(axis, lines, look["label"], shown, at, said)


def _alike(data: Data, models: list[str]) -> bool:
    """Whether the largest file is no more than a few times the smallest model's."""
    whole = [float(data.sizes_of(model)["bytes"].max()) for model in models]
    return max(whole) <= _ALIKE * min(whole)
