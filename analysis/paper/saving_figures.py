"""Figures of what pruning saves: bytes, milliseconds, and both against quality."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import style, tradeoff
from analysis.paper.data import Data

_ALIKE = 8  # times as large: files that can share an axis
_ROWS = 4  # models that can stand one under another
_KERNELS = (DENSE, TORCH_CSR, TILED_CSR, AUTO)


def bytes_by_level(data: Data) -> Figure:
    """Bytes of each format against sparsity, with the entropy bound, a panel a model."""
    stored = [model for model in data.models if len(data.sizes_of(model))]
    if not stored:
        return style.nothing("No file of this study was written.")
    figure, axes = style.panels(len(data.models), 2.6, sharey=_alike(data, stored))
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


def speedups(data: Data) -> Figure:
    """Speed-up over the dense model by level and kernel: a row a batch size, a panel a model."""
    table = data.latency
    if table.empty:
        return style.nothing("This study times no forward pass.")
    batches = sorted(table["batch"].unique())
    models = [model for model in data.models if model in set(table["model"])]
    columns = style.columns_of(len(models))
    rows = len(batches) * -(-len(models) // columns)
    figure, axes = style.grid(rows, columns, max(1.55, 2.6 - 0.35 * rows))
    places = _in_rows(batches, models, columns)
    for axis, place in zip(axes, places, strict=True):
        if place is None:
            axis.set_visible(False)
            continue
        batch, model = place
        own = table[(table["batch"] == batch) & (table["model"] == model)]
        _by_kernel(axis, own, [0.0, *data.levels])
        style.title(axis, style.name(f"{model}, batch {batch}"), columns)
        style.level_axis(axis, data.levels)
    for axis in axes[::columns]:
        axis.set_ylabel("speed-up over dense" if rows < 4 else "speed-up")
    style.legend(figure, *style.entries(axes))
    return figure


def _in_rows(batches: list[int], models: list[str], columns: int) -> list[tuple[int, str] | None]:
    """What each panel shows; each batch size begins a row of its own."""
    found: list[tuple[int, str] | None] = []
    for batch in batches:
        found += [(batch, model) for model in models]
        found += [None] * (-len(found) % columns)
    return found


def replica_speedups(data: Data) -> Figure:
    """The same for the model of true size; beside it the bytes of its linear layers as they run."""
    table = data["replicas"]
    if table.empty:
        return style.nothing("This study measures no model of true size.")
    levels = sorted(table["sparsity"].unique())
    figure, (speed, memory) = style.panels(2, 2.6)
    _by_kernel(speed, table, levels)
    speed.set_ylabel("speed-up over dense")
    dense = table.loc[table["kernel"] == DENSE, "linear_bytes"].max()
    for i, kernel in enumerate(_KERNELS):
        rows = table[table["kernel"] == kernel].set_index("sparsity")["linear_bytes"]
        if len(rows):
            shares = rows.reindex(levels).astype(float) / dense
            memory.plot(range(len(levels)), shares, label=kernel, **style.ordinal(i))
    memory.set_ylim(bottom=0)
    memory.yaxis.set_major_formatter(PercentFormatter(1.0))
    memory.set_ylabel("memory of linear layers")
    for axis in (speed, memory):
        axis.set_xticks(range(len(levels)), [f"{100 * x:g}" for x in levels])
        axis.set_xlabel("sparsity (%)")
    style.legend_below(figure, speed)
    return figure


def _by_kernel(axis: Axes, rows: pd.DataFrame, levels: list[float]) -> None:
    """A line a kernel on a logarithmic axis; the line at one is the dense model."""
    for i, kernel in enumerate(_KERNELS):
        part = rows[rows["kernel"] == kernel].set_index("sparsity")["speedup"]
        at = [(place, part[level]) for place, level in enumerate(levels) if level in part.index]
        if at:
            axis.plot(*zip(*at, strict=True), label=kernel, **style.ordinal(i))
    axis.axhline(1, color=style.INK, linewidth=0.8)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.5)))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def tradeoff_map(data: Data) -> Figure:
    """Quality against bytes and against milliseconds: a row a model, a mark a variant."""
    variants = tradeoff.table(data)
    if variants.empty:
        return style.nothing("This study times no variant that it scores.")
    groups = tradeoff.groups(variants)
    models = [model for model in data.models if model in set(variants["model"])]
    beside = 1 if len(models) <= _ROWS else 2  # models in a row
    rows = -(-len(models) // beside)
    figure, axes = style.grid(rows, 2 * beside, 2.2, sharey=True)
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
                axis.scatter(part[column], part["retained"].clip(lower=0), s=14,
                             label=group, **style.mark(i))  # fmt: skip
            chosen = own[own["best"]]
            axis.scatter(chosen[column], chosen["retained"].clip(lower=0), s=60, label="Pareto set",
                         facecolors="none", edgecolors=style.INK, linewidths=0.8)  # fmt: skip
            axis.xaxis.set_major_formatter(PercentFormatter(1.0))
            axis.set_xlim(left=0)
            style.title(axis, style.name(model), 2 * beside)
            if row >= len(models) - beside:
                axis.set_xlabel(label if beside == 1 else label.split(",")[0] + " (share)")
        if row % beside == 0:
            axes[2 * row].set_ylabel("retained")
    style.legend(figure, *style.entries(axes), columns=5)
    return figure
