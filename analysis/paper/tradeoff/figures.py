"""The map of quality against bytes and milliseconds."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from analysis.paper import style, text
from analysis.paper.chart import Chart, Pick, Series
from analysis.paper.data import Data
from analysis.paper.tradeoff import measures

_ROWS = 4  # models that can stand one under another
_SHARES = ("bytes_share", "p50_ms_share")
MOST = 50  # per cent of quality that the page offers to lose
_COLUMNS = {  # as a reader names them
    "model": "model",
    "task": "task",
    "series": "method",
    "group": "group",
    "sparsity": "sparsity",
    "retained": "retained",
    "retained_low": "low",
    "retained_high": "high",
    "bytes": "bytes",
    "bytes_share": "bytes share",
    "p50_ms": "p50 ms",
    "p50_ms_share": "time share",
    "best": "in Pareto set",
    "variant": "variant",
}


def tradeoff_map(data: Data) -> Chart:
    """Quality against bytes and against milliseconds: a row a model, a mark a variant."""
    variants = measures.table(data)
    if variants.empty:
        return style.nothing("This study times no variant that it scores.")
    groups = measures.groups(variants)
    models = [model for model in data.models if model in set(variants["model"])]
    beside = 1 if len(models) <= _ROWS else 2  # models in a row
    rows = -(-len(models) // beside)
    figure, axes = style.grid(rows, 2 * beside, 1.7, sharey=True)
    for axis in axes[2 * len(models) :]:
        axis.set_visible(False)
    for row, model in enumerate(models):
        own = variants[variants["model"] == model]
        for axis, column, label in (
            (axes[2 * row], "bytes_share", "file, as a share of the dense one"),
            (axes[2 * row + 1], "p50_ms_share", "time, as a share of the dense model\u2019s"),
        ):
            for i, group in enumerate(groups):
                part = own[own["group"] == group]
                look = style.mark(i) | {"s": 14, "label": group}
                figure.series.append(_marks(axis, data, part, column, look))
            rings = {"facecolors": "none", "edgecolors": style.INK, "linewidths": 0.8}
            look = rings | {"s": 60, "label": "Pareto set"}
            figure.series.append(_marks(axis, data, own[own["best"]], column, look))
            axis.xaxis.set_major_formatter(PercentFormatter(1.0))
            axis.set_xlim(left=0)
            style.title(axis, style.name(model), 2 * beside)
            if row >= len(models) - beside:
                axis.set_xlabel(label if beside == 1 else label.split(",")[0] + " (share)")
        figure.picks += _picks(own, axes[2 * row : 2 * row + 2])
        if row % beside == 0:
            axes[2 * row].set_ylabel("retained")
    style.legend(figure, *style.entries(axes), columns=5)
    return figure


def _marks(
    axis: Axes, data: Data, variants: pd.DataFrame, column: str, look: dict[str, Any]
) -> Series:
    """A mark for each of the variants, in the group that the look is called after."""
    at = list(zip(variants[column], variants["retained"].clip(lower=0), strict=True))
    marks = axis.scatter(*_across_and_up(at), **look)
    shown = variants[list(_COLUMNS)].rename(columns=_COLUMNS)
    shown["task"] = [data.task_title(task) for task in shown["task"]]
    ring = look["label"] == "Pareto set"  # around marks that answer by themselves
    said = [] if ring else [_said(row) for _, row in variants.iterrows()]
    return Series(axis, [marks], look["label"], shown, [] if ring else at, said)


def _across_and_up(at: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in at], [y for _, y in at]


def _said(row: pd.Series) -> tuple[str, str, str]:
    """What a mark says: what the variant is, what it retains and saves, and its name."""
    return _called(row), f"retains {_worth(row)}", row["variant"]


def _called(row: pd.Series) -> str:
    return row["series"] + (f" {text.level(row['sparsity'])}" if row["sparsity"] else "")


def _worth(row: pd.Series) -> str:
    ends = " to ".join(text.fixed(row[f"retained_{end}"]) for end in ("low", "high"))
    interval = f" ({ends})" if pd.notna(row["retained_low"]) else ""
    shares = f"{text.percent(row['bytes_share'])} of the bytes, {text.percent(row['p50_ms_share'])}"
    return f"{text.fixed(row['retained'])}{interval}, {shares} of the time"


def _picks(variants: pd.DataFrame, axes: list[Axes]) -> Iterator[Pick]:
    """What to take of a model as the loss that one can bear grows: each choice where it begins."""
    last = None
    for loss in range(MOST + 1):
        row = measures.recommended(variants, loss / 100)
        if row is None or row["variant"] == last:
            continue
        last, up = row["variant"], max(0.0, float(row["retained"]))
        at = [(axis, float(row[x]), up) for axis, x in zip(axes, _SHARES, strict=True)]
        sentence = f"{row['model']}: take {_called(row)}, which retains {_worth(row)}."
        yield Pick(row["model"], loss, sentence, at)
