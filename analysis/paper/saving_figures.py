"""Figures of what pruning saves: bytes, milliseconds, and both against quality."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import style, tradeoff
from analysis.paper.data import Data

_KERNELS = (DENSE, TORCH_CSR, TILED_CSR, AUTO)


def bytes_by_level(data: Data) -> Figure:
    """Bytes of each format against sparsity, with the entropy bound, a panel a model."""
    figure, axes = style.panels(len(data.models), 2.6, sharey=True)
    for axis, model in zip(axes, data.models, strict=True):
        rows = data.sizes_of(model)
        formats = list(dict.fromkeys(rows["format"]))
        for i, name in enumerate(formats):
            part = rows[rows["format"] == name].sort_values("sparsity")
            axis.plot(range(len(part)), part["bytes"] / 1e6, label=name, **style.ordinal(i))
        bound = rows[rows["format"] == formats[0]].sort_values("sparsity")
        axis.plot(
            range(len(bound)), bound["bound_bytes"] / 1e6, label="entropy bound",
            color=style.INK, linestyle=":", marker="",
        )  # fmt: skip
        axis.set_title(style.name(model))
        style.level_axis(axis, data.levels)
    axes[0].set_ylim(bottom=0)  # after all are drawn: the axes are shared
    for axis in style.left_column(axes):
        axis.set_ylabel("file size (MB)")
    style.legend_below(figure, axes[0])
    return figure


def speedups(data: Data) -> Figure:
    """Speed-up over the dense model by level and kernel: a row a batch size, a panel a model."""
    table = data.latency
    if table.empty:
        return style.nothing("This study times no forward pass.")
    batches = sorted(table["batch"].unique())
    places = [(batch, model) for batch in batches for model in data.models]
    figure, axes = style.grid(len(batches), len(data.models), 1.55)
    for axis, (batch, model) in zip(axes, places, strict=True):
        rows = table[(table["batch"] == batch) & (table["model"] == model)]
        _by_kernel(axis, rows, [0.0, *data.levels])
        axis.set_title(style.name(f"{model}, batch {batch}"))
        style.level_axis(axis, data.levels)
    for axis in axes[:: len(data.models)]:
        axis.set_ylabel("speed-up over dense")
    style.legend_below(figure, axes[0])
    return figure


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
    figure, axes = style.grid(len(data.models), 2, 2.2, sharey=True)
    for row, model in enumerate(data.models):
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
            axis.set_title(style.name(model))
            if row == len(data.models) - 1:
                axis.set_xlabel(label)
        axes[2 * row].set_ylabel("retained")
    style.legend_below(figure, axes[0], columns=5)
    return figure
