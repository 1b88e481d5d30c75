"""How weights are distributed in models, stacks, blocks and kinds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator, NullLocator

from analysis.checkpoints.naming import KINDS, PRUNABLE_KINDS
from analysis.paper import style
from analysis.paper.chart import Chart, Series
from analysis.paper.data import Data
from analysis.paper.profile import measures

_PERCENT = 100
_SMALLEST = 1e-5  # magnitudes below it are too few to show
_VISIBLE = 1 / 5000  # share of weights that is worth an axis
_NAMED_LAYERS = 6  # in a legend
_ANNOTATED_ROWS = 8  # in a heat map
_NARROWEST = 4.0  # times the smallest: the least that the colours of a heat map span
_UNPROFILED = "No model of this study was profiled."
_BLOCKLESS = "No stack of blocks was profiled."


def weight_histogram(data: Data) -> Chart:
    """Density of w on a linear axis, and of |w| on a logarithmic one, one line a model."""
    if not data.profiled:
        return style.nothing(_UNPROFILED)
    figure, (linear, logarithmic) = style.panels(2, 1.9)
    lowest = np.inf
    for i, model in enumerate(data.profiled):
        bins = measures.of_scope(data, "histogram", model, "model")
        look = style.ordinal(i) | {"marker": "", "label": style.name(model)}
        inner = bins[bins["scale"] == "linear"].iloc[1:-1]  # the outermost reach to the extremes
        density = inner["count"] / inner["count"].sum() / (inner["right"] - inner["left"])
        lowest = min(lowest, density[density > 0].min())
        seen = density.clip(lower=1e-9)  # a logarithm has no zero; it lies below the axis
        middle = (inner["left"] + inner["right"]) / 2
        lines = linear.plot(middle, seen, drawstyle="steps-mid", **look)
        figure.series += [
            _curve(linear, lines, model, axis="weight", x=middle, density=density),
            _log_histogram(logarithmic, bins, model, **look),
        ]
    linear.set(xlabel="weight $w$", ylabel="density", yscale="log")
    linear.xaxis.set_major_locator(MaxNLocator(4))
    linear.set_ylim(bottom=0.7 * lowest if np.isfinite(lowest) else None)
    logarithmic.set(xlabel="magnitude $|w|$", ylabel="per 0.1 decade (%)", xscale="log")
    style.legend_below(figure, linear)
    return figure


def _log_histogram(axis: Axes, bins: pd.DataFrame, model: str, **look: Any) -> Series:
    """The share of weights per tenth of a decade of |w|; bins differ a little in width."""
    decades = bins[(bins["scale"] == "log10") & (bins["left"] >= _SMALLEST)]
    decades = decades.loc[: decades.index[decades["count"] > 0].max()]  # to the largest weight
    width = _tenths(decades)
    total = bins.loc[bins["scale"] == "log10", "count"].sum()
    share = _PERCENT * decades["count"] / total / width
    middle = np.sqrt(decades["left"] * decades["right"])
    lines = axis.plot(middle, share, **look)
    return _curve(axis, lines, model, axis="magnitude", x=middle, per_cent=share)


def _curve(panel: Axes, lines: Sequence[Artist], model: str, **columns: Any) -> Series:
    """A model's curve: its numbers, in columns of these names."""
    named = {name.replace("_", " "): values for name, values in columns.items()}
    return Series(panel, lines, model, pd.DataFrame({"model": model, **named}))


def _tenths(bins: pd.DataFrame) -> pd.Series:
    """The widths of bins in tenths of a decade."""
    return 10 * np.log10(bins["right"].astype(float) / bins["left"].astype(float))


def magnitude_cdf(data: Data) -> Chart:
    """The fraction of weights below a growing cutoff, all models together."""
    if not data.profiled:
        return style.nothing(_UNPROFILED)
    figure, (linear, logarithmic) = style.panels(2, 1.9, sharey=True)
    for i, model in enumerate(data.profiled):
        curve = measures.of_scope(data, "cdf", model, "model")
        look = style.ordinal(i) | {"marker": "", "label": style.name(model)}
        whole = data.one(data["profile_scopes"], model=model, scope="model")
        part = curve[curve["scale"] == "linear"]
        zeros = _PERCENT * whole["zeros"] / whole["parameters"]  # a step at 0, not below it
        x, y = [0, 0, *part["left"][1:]], [0, zeros, *_PERCENT * part["fraction"][1:]]
        lines = linear.plot(x, y, **look)
        figure.series.append(_curve(linear, lines, model, axis="linear", cutoff=x, per_cent=y))
        part = curve[curve["scale"] == "log10"]
        x, y = part["left"], _PERCENT * part["fraction"]
        lines = logarithmic.plot(x, y, **look)
        figure.series.append(
            _curve(logarithmic, lines, model, axis="logarithmic", cutoff=x, per_cent=y)
        )
    linear.set(xlabel="cutoff", ylabel="weights with $|w|$ below (%)")
    logarithmic.set(xlabel="cutoff", xscale="log", xlim=(_SMALLEST, 10))
    style.legend_below(figure, linear)
    return figure


def layer_cdfs(data: Data) -> Chart:
    """CDF of |w| for each layer, a panel for each stack of blocks (encoder and decoder apart)."""
    stacks = measures.stacks(data)
    if not stacks:
        return style.nothing(_BLOCKLESS)
    figure, axes = style.panels(len(stacks), 1.6, sharex=True, sharey=True)
    depth = max(len(layers) for _, _, layers in stacks)
    named = set(np.linspace(0, depth - 1, min(depth, _NAMED_LAYERS)).round().astype(int).tolist())
    for axis, (model, part, layers) in zip(axes, stacks, strict=True):
        for i, layer in enumerate(layers):
            curve = measures.of_scope(data, "cdf", model, f"layer:{part}:{layer}")
            curve = curve[curve["scale"] == "log10"]
            label = f"block {layer}" if i in named else f"_{layer}"
            look = style.sequential(i, depth) | {"label": label, "linewidth": 1.1}
            x, y = curve["left"], _PERCENT * curve["fraction"]
            lines = axis.plot(x, y, **look)
            shown = {"model": model, "stack": part, "block": layer, "cutoff": x, "per cent": y}
            name = f"block {layer}"
            figure.series.append(Series(axis, lines, name, pd.DataFrame(shown)))
        style.title(axis, f"{style.name(model)}, {part}", style.columns_of(len(stacks)))
        axis.set_xscale("log")
    cdf = data["cdf"]
    short = cdf[(cdf["scale"] == "log10") & (cdf["fraction"] < 0.999) & (cdf["fraction"] > 0.001)]
    axes[0].set_xlim(max(_SMALLEST, short["left"].min()), max(1.0, short["left"].max()))
    for axis in style.left_column(axes):
        axis.set_ylabel("$|w|$ below (%)")
    for axis in style.bottom_row(axes):
        axis.set_xlabel("cutoff")
    deepest = next(a for a, s in zip(axes, stacks, strict=True) if len(s[2]) == depth)
    style.legend_below(figure, deepest, columns=6)
    return figure


def layer_distances(data: Data) -> Chart:
    """How far each block's distribution of |w| is from the whole model's, against depth."""
    if not measures.stacks(data):
        return style.nothing(_BLOCKLESS)
    figure, (axis,) = style.panels(1, 1.8)
    for i, (model, part, layers) in enumerate(measures.stacks(data)):
        values = measures.distances(data, model, part)
        lines = axis.plot(layers, values, label=f"{style.name(model)}, {part}", **style.ordinal(i))
        shown = {"model": model, "stack": part, "block": layers, "KS distance": values}
        at = list(zip(layers, values, strict=True))
        said = [(f"block {x}", f"{y:.3f}", "") for x, y in at]
        figure.series.append(Series(axis, lines, f"{model}, {part}", pd.DataFrame(shown), at, said))
    known = data["profile_scopes"]
    highest = known.loc[known["scope"].str.startswith("layer:"), "ks_distance"].max()
    axis.set(xlabel="block, from the input", ylabel="KS distance")
    axis.set_ylim(0, 1.1 * float(highest) if highest > 0 else 1.0)
    deepest = max(layers[-1] for _, _, layers in measures.stacks(data))
    axis.set_xlim(-0.02 * deepest - 0.05, 1.02 * deepest + 0.05)
    axis.xaxis.set_major_locator(MaxNLocator(min(12, deepest + 1), integer=True))
    style.legend_below(figure, axis)
    return figure


def kind_heat_map(data: Data) -> Chart:
    """Standard deviation of w for each block and kind of weight, a panel for each stack.

    The colours span the matrices; norms and biases may lie beyond.
    """
    stacks = measures.stacks(data)
    if not stacks:
        return style.nothing(_BLOCKLESS)
    tables = [measures.by_layer_and_kind(data, model, part) for model, part, _ in stacks]
    kinds = [kind for kind in KINDS if any(kind in table.columns for table in tables)]
    matrices = [table[[k for k in table.columns if k in PRUNABLE_KINDS]] for table in tables]
    norm = _scale(pd.concat([table.stack() for table in matrices]))
    rows = max(len(table) for table in tables)
    below = 1.2 / -(-len(stacks) // style.columns_of(len(stacks)))  # the names of kinds, once
    height = min(8.0, 0.5 + below + 0.16 * rows)
    figure, axes = style.panels(len(stacks), height, sharex=True)
    for axis, (model, part, layers), table in zip(axes, stacks, tables, strict=True):
        shown = table.reindex(index=layers, columns=kinds)  # a block of NaN alone has no row
        image = axis.imshow(shown, norm=norm, cmap="viridis", aspect="auto")
        figure.series.append(_cells(axis, image, model, part, shown))
        if rows <= _ANNOTATED_ROWS:
            _annotate(axis, shown, norm)
        style.title(axis, f"{style.name(model)}, {part}", style.columns_of(len(stacks)))
        axis.set_xticks(range(len(kinds)), kinds, rotation=90, fontsize=7)
        step = -(-len(layers) // 12)
        axis.set_yticks(range(0, len(layers), step), [str(n) for n in layers[::step]])
        axis.grid(False)
        axis.xaxis.set_minor_locator(NullLocator())
    for axis in style.left_column(axes):
        axis.set_ylabel("block")
    ticks = norm.inverse(np.linspace(0, 1, 4))
    bar = figure.colorbar(image, ax=axes, label="std. dev. (\u00d7 0.01)", aspect=30, ticks=ticks)
    bar.ax.set_yticklabels([_short(tick) for tick in ticks])
    bar.ax.yaxis.set_minor_locator(NullLocator())
    return figure


def _cells(axis: Axes, image: Artist, model: str, part: str, shown: pd.DataFrame) -> Series:
    """What the cells show, where there is anything."""
    cells = [
        (column, row, value)
        for (row, column), value in np.ndenumerate(shown.to_numpy(float))
        if np.isfinite(value)
    ]
    rows = [
        {
            "model": model,
            "stack": part,
            "block": shown.index[row],
            "kind": shown.columns[column],
            "std. dev.": value,
        }
        for column, row, value in cells
    ]
    said = [(f"block {row['block']}, {row['kind']}", f"{row['std. dev.']:.4g}", "") for row in rows]
    at = [(column, row) for column, row, _ in cells]
    return Series(axis, [image], "standard deviation", pd.DataFrame(rows), at, said)


def _scale(values: pd.Series) -> LogNorm:
    """The colours' scale over positive values, never so narrow that noise would look like much."""
    positive = values[values > 0].astype(float)
    if positive.empty:
        return LogNorm(0.01, 0.1)
    low, high = positive.min(), positive.max()
    widen = max(1.0, (_NARROWEST * low / high) ** 0.5)
    return LogNorm(low / widen, high * widen)


def _annotate(axis: Axes, table: pd.DataFrame, norm: LogNorm) -> None:
    """The numbers, in a colour that shows on their ground."""
    for (row, column), value in np.ndenumerate(table.to_numpy(float)):
        if np.isfinite(value):
            light = value > 0 and norm(value) > 0.5
            axis.text(
                column, row, _short(value), ha="center", va="center",
                fontsize=7,
                color="black" if light else "white",
            )  # fmt: skip


def _short(value: float) -> str:
    """A number in the width of a cell: in hundredths."""
    return f"{100 * value:.{1 if value < 0.1 else 0}f}".removesuffix(".0")


def encoder_and_decoder(data: Data) -> Chart:
    """The distribution of |w| in encoders (left) and decoders (right), one line a model."""
    parts = [p for p in ("encoder", "decoder") if any(s[1] == p for s in measures.stacks(data))]
    if not parts:
        return style.nothing(_BLOCKLESS)
    figure, axes = style.panels(len(parts), 1.9, sharex=True, sharey=True)
    for axis, part in zip(axes, parts, strict=True):
        for i, model in enumerate(data.profiled):
            bins = measures.of_scope(data, "histogram", model, f"part:{part}")
            if len(bins):
                look = style.ordinal(i) | {"marker": "", "label": style.name(model)}
                curve = _log_histogram(axis, bins, model, **look)
                rows = curve.rows.assign(axis=part).rename(columns={"axis": "stacks"})
                figure.series.append(replace(curve, rows=rows))
        axis.set(title=part, xlabel="magnitude $|w|$", xscale="log")
    axes[0].set_ylabel("per 0.1 decade (%)")
    style.legend(figure, *style.entries(axes))
    return figure


def histogram_after_pruning(data: Data) -> Chart:
    """The distribution of |w| that is left at each sparsity of the leading method.

    A panel a model; it shows where at least one weight in five thousand of the dense model lies.
    """
    models = [model for model in data.models if len(measures.leading_variants(data, model))]
    if not models:
        return style.nothing(_UNPROFILED)
    figure, axes = style.panels(len(models), 2.1, sharey=True)
    for axis, model in zip(axes, models, strict=True):
        shown = measures.leading_variants(data, model)
        dense_total = None
        for i, (_, variant) in enumerate(shown.iterrows()):
            bins = data["histogram"]
            bins = bins[(bins["variant"] == variant["variant"]) & (bins["scope"] == "model")]
            bins = bins[(bins["scale"] == "log10") & (bins["left"] >= _SMALLEST)]
            dense_total = bins["count"].sum() if dense_total is None else dense_total
            label = "dense" if variant["sparsity"] == 0 else f"{_PERCENT * variant['sparsity']:g} %"
            middle = np.sqrt(bins["left"] * bins["right"])
            share = _PERCENT * bins["count"] / dense_total / _tenths(bins)
            if i == 0:
                there = middle[bins["count"] >= _VISIBLE * dense_total]
                axis.set_xlim(there.min() / 2, there.max() * 2)
            look = style.sequential(i, len(shown)) | {"label": label}
            lines = axis.plot(middle, share, drawstyle="steps-mid", **look)
            shown_as = {
                "model": model,
                "sparsity": variant["sparsity"],
                "magnitude": middle,
                "per cent": share,
            }
            figure.series.append(Series(axis, lines, label, pd.DataFrame(shown_as)))
        style.title(axis, style.name(model), style.columns_of(len(models)))
        axis.set_xscale("log")
    for axis in style.left_column(axes):
        axis.set_ylabel("per 0.1 decade (%)")
    for axis in style.bottom_row(axes):
        axis.set_xlabel("magnitude $|w|$")
    style.legend_below(figure, axes[0], columns=6, title="sparsity")
    return figure
