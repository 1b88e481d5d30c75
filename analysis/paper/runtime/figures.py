"""Speed-ups against sparsity."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import style
from analysis.paper.data import Data

KERNELS = (DENSE, TORCH_CSR, TILED_CSR, AUTO)


def speedups(data: Data) -> Figure:
    """Speed-up over the dense model by level and kernel: a row a batch size, a panel a model."""
    table = data.latency
    if table.empty:
        return style.nothing("This study times no forward pass.")
    batches = sorted(table["batch"].unique())
    models = [model for model in data.models if model in set(table["model"])]
    columns = style.columns_of(len(models))
    rows = len(batches) * -(-len(models) // columns)
    figure, axes = style.grid(rows, columns, max(1.4, 2.1 - 0.25 * rows))
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
        axis.set_ylabel("speed-up")
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
    for i, kernel in enumerate(KERNELS):
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
    for i, kernel in enumerate(KERNELS):
        part = rows[rows["kernel"] == kernel].set_index("sparsity")["speedup"]
        at = [(place, part[level]) for place, level in enumerate(levels) if level in part.index]
        if at:
            axis.plot(*zip(*at, strict=True), label=kernel, **style.ordinal(i))
    axis.axhline(1, color=style.INK, linewidth=0.8)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.5)))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
