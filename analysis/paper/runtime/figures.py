"""Speed-ups against sparsity."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, PercentFormatter

from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.paper import style, text
from analysis.paper.chart import Chart, Series
from analysis.paper.data import Data

KERNELS = (DENSE, TORCH_CSR, TILED_CSR, AUTO)
_COLUMNS = (  # of the tables that have them
    *("model", "batch", "kernel", "sparsity", "speedup", "speedup_low", "speedup_high", "p50_ms"),
    "variant",
)


def speedups(data: Data) -> Chart:
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
        figure.series += _by_kernel(axis, own, [0.0, *data.levels])
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


def replica_speedups(data: Data) -> Chart:
    """The same for the model of true size; beside it the bytes of its linear layers as they run."""
    table = data["replicas"]
    if table.empty:
        return style.nothing("This study measures no model of true size.")
    levels = sorted(table["sparsity"].unique())
    figure, (speed, memory) = style.panels(2, 2.6)
    figure.series += _by_kernel(speed, table, levels)
    speed.set_ylabel("speed-up over dense")
    dense = table.loc[table["kernel"] == DENSE, "linear_bytes"].max()
    for i, kernel in enumerate(KERNELS):
        rows = table[table["kernel"] == kernel]
        if len(rows):
            look = style.ordinal(i) | {"label": kernel}
            figure.series.append(_memory(memory, rows, levels, dense, look))
    memory.set_ylim(bottom=0)
    memory.yaxis.set_major_formatter(PercentFormatter(1.0))
    memory.set_ylabel("memory of linear layers")
    for axis in (speed, memory):
        axis.set_xticks(range(len(levels)), [f"{100 * x:g}" for x in levels])
        axis.set_xlabel("sparsity (%)")
    style.legend_below(figure, speed)
    return figure


def _memory(
    axis: Axes, rows: pd.DataFrame, levels: list[float], dense: float, look: dict[str, Any]
) -> Series:
    """Bytes of the linear layers under one kernel, as a share of the dense ones; a gap is a gap."""
    shares = rows.set_index("sparsity")["linear_bytes"].reindex(levels).astype(float) / dense
    lines = axis.plot(range(len(levels)), shares, **look)
    kernel = look["label"]
    shown = pd.DataFrame({"kernel": kernel, "sparsity": levels, "memory share": shares.to_list()})
    said = [(text.level(x), f"{text.percent(y)} of the dense memory", "")
            for x, y in zip(levels, shares, strict=True)]  # fmt: skip
    return Series(axis, lines, kernel, shown, list(enumerate(shares)), said)


def _by_kernel(axis: Axes, rows: pd.DataFrame, levels: list[float]) -> list[Series]:
    """A line a kernel on a logarithmic axis; the line at one is the dense model."""
    found = []
    for i, kernel in enumerate(KERNELS):
        part = rows[(rows["kernel"] == kernel) & rows["sparsity"].isin(levels)]
        if len(part):
            found.append(_speed(axis, part.sort_values("sparsity"), levels, i))
    axis.axhline(1, color=style.INK, linewidth=0.8)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.5)))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return found


def _speed(axis: Axes, rows: pd.DataFrame, levels: list[float], index: int) -> Series:
    """The line of the kernel of that number."""
    kernel = KERNELS[index]
    at = [(levels.index(x), y) for x, y in zip(rows["sparsity"], rows["speedup"], strict=True)]
    lines = axis.plot(*zip(*at, strict=True), label=kernel, **style.ordinal(index))
    named = {"speedup": "speed-up", "speedup_low": "low", "speedup_high": "high"}
    shown = rows[[name for name in _COLUMNS if name in rows]].rename(columns=named)
    said = [_said(row) for _, row in shown.iterrows()]
    return Series(axis, lines, kernel, shown, at, said)


def _said(row: pd.Series) -> tuple[str, str, str]:
    """What a point says: its level, its value, and its variant."""
    value = text.times(row["speed-up"])
    if pd.notna(row.get("low")):
        value += f" ({row['low']:.2f} to {row['high']:.2f})"
    return text.level_or_dense(row["sparsity"]), value, str(row.get("variant", ""))
