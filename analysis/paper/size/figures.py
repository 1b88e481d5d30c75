"""Bytes against sparsity."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.paper import style
from analysis.paper.data import Data

_ALIKE = 8  # times as large: files that can share an axis


def bytes_by_level(data: Data) -> Figure:
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
            part = rows[rows["format"] == name].set_index("sparsity")["bytes"]
            axis.plot(*_by_level(part, data.levels), label=name, **style.ordinal(i))
        bound = rows[rows["format"] == formats[0]].set_index("sparsity")["bound_bytes"]
        axis.plot(
            *_by_level(bound, data.levels), label="entropy bound",
            color=style.INK, linestyle=":", marker="",
        )  # fmt: skip
    for axis in axes:  # after all are drawn: they may be shared
        axis.set_ylim(bottom=0)
    for axis in style.left_column(axes):
        axis.set_ylabel("file size (MB)")
    style.label_below(axes)
    style.legend(figure, *style.entries(axes))
    return figure


def _by_level(values: pd.Series, levels: list[float]) -> tuple[list[int], list[float]]:
    """Places on the axis of levels, dense first, and megabytes, where there is a file."""
    found = [(x, level) for x, level in enumerate([0.0, *levels]) if level in values.index]
    return [x for x, _ in found], [float(values[level]) / 1e6 for _, level in found]


def _alike(data: Data, models: list[str]) -> bool:
    """Whether the largest file is no more than a few times the smallest model's."""
    whole = [float(data.sizes_of(model)["bytes"].max()) for model in models]
    return max(whole) <= _ALIKE * min(whole)
