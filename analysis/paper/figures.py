"""The paper's figures, each a function from the results to a matplotlib figure."""

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.models.naming import PARTS
from analysis.paper import style
from analysis.paper.data import Data

_PERCENT = 100


def weight_histogram(data: Data) -> Figure:
    """Density of w on a linear axis, and of |w| on a logarithmic one, one line a model."""
    figure, (linear, logarithmic) = style.panels(2, 2.6)
    for i, model in enumerate(data.models):
        bins = _scope(data, "histogram", model, "model")
        look = style.ordinal(i) | {"marker": "", "label": model}
        inner = bins[bins["scale"] == "linear"].iloc[1:-1]  # the outermost reach to the extremes
        density = inner["count"] / inner["count"].sum() / (inner["right"] - inner["left"])
        linear.plot((inner["left"] + inner["right"]) / 2, density, **look)
        decades = bins[(bins["scale"] == "log10") & (bins["count"] > 0)]
        share = _PERCENT * decades["count"] / decades["count"].sum()
        logarithmic.plot(np.sqrt(decades["left"] * decades["right"]), share, **look)
    linear.set(xlabel="weight $w$", ylabel="density", yscale="log")
    logarithmic.set(xlabel="magnitude $|w|$", ylabel="weights per bin (%)", xscale="log")
    logarithmic.set_xlim(left=1e-5)
    style.legend_below(figure, linear)
    return figure


def magnitude_cdf(data: Data) -> Figure:
    """The fraction of weights below a growing cutoff, all models together."""
    figure, (linear, logarithmic) = style.panels(2, 2.6, sharey=True)
    for i, model in enumerate(data.models):
        curve = _scope(data, "cdf", model, "model")
        look = style.ordinal(i) | {"marker": "", "label": model}
        for axis, scale in ((linear, "linear"), (logarithmic, "log10")):
            part = curve[curve["scale"] == scale]
            axis.plot(part["left"], _PERCENT * part["fraction"], **look)
    linear.set(xlabel="cutoff", ylabel="weights with $|w|$ below (%)")
    logarithmic.set(xlabel="cutoff", xscale="log")
    style.legend_below(figure, linear)
    return figure


def layer_cdfs(data: Data) -> Figure:
    """CDF of |w| for each layer, a panel for each stack of blocks (encoder and decoder apart)."""
    stacks = _stacks(data)
    figure, axes = style.panels(len(stacks), 2.3, sharex=True, sharey=True)
    depth = max(len(layers) for _, _, layers in stacks)
    for axis, (model, part, layers) in zip(axes, stacks, strict=True):
        for i, layer in enumerate(layers):
            curve = _scope(data, "cdf", model, f"layer:{part}:{layer}")
            curve = curve[curve["scale"] == "log10"]
            look = style.ordinal(i) | {"marker": "", "label": f"block {layer}"}
            axis.plot(curve["left"], _PERCENT * curve["fraction"], **look)
        axis.set(title=f"{model}, {part}", xscale="log", xlim=(1e-3, 1))
    for axis in _left_column(axes):
        axis.set_ylabel("$|w|$ below (%)")
    for axis in _bottom_row(axes):
        axis.set_xlabel("cutoff")
    deepest = next(a for a, s in zip(axes, stacks, strict=True) if len(s[2]) == depth)
    style.legend_below(figure, deepest, columns=6)
    return figure


def layer_spread(data: Data, cutoff: str = "below_1e-1") -> Figure:
    """The fraction of each block's weights below a cutoff, against depth."""
    figure, (axis,) = style.panels(1, 2.5)
    for i, (model, part, layers) in enumerate(_stacks(data)):
        rows = [
            data.one(data["profile_scopes"], model=model, scope=f"layer:{part}:{n}") for n in layers
        ]
        values = [_PERCENT * row[cutoff] for row in rows]
        axis.plot(layers, values, label=f"{model}, {part}", **style.ordinal(i))
    axis.set(xlabel="block, from the input", ylabel="weights near zero (%)", ylim=(0, 103))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_below(figure, axis, columns=3)
    return figure


def retained_curves(data: Data) -> Figure:
    """Retained quality against sparsity: a panel a model, a colour a task, a line style a method.

    The band is the bootstrap interval of the leading method.
    """
    tasks = list(dict.fromkeys(task for _, task in data.cells()))
    figure, axes = style.panels(len(data.models), 2.7, sharey=True)
    for axis, model in zip(axes, data.models, strict=True):
        for task in [t for m, t in data.cells() if m == model]:
            look = style.ordinal(tasks.index(task))
            for j, method in enumerate(data.methods):
                _curve(axis, data, model, task, method, j, look["color"], look["marker"])
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_title(model)
        axis.set_ylim(-0.3, 1.15)
        style.level_axis(axis, data.levels)
    for axis in _left_column(axes):
        axis.set_ylabel("retained quality")
    handles = [
        Line2D([], [], label=data.task_title(t), **(style.ordinal(i) | {"linestyle": "-"}))
        for i, t in enumerate(tasks)
    ]
    handles += [
        Line2D([], [], color="grey", ls=style.LINES[j % len(style.LINES)], label=method)
        for j, method in enumerate(data.methods)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _curve(
    axis: Axes,
    data: Data,
    model: str,
    task: str,
    method: str,
    index: int,
    colour: str,
    marker: str,
) -> None:
    rows = [data.at(model, task, "dense", 0.0)]
    rows += [data.at(model, task, method, level) for level in data.levels]
    x = range(len(rows))
    values = [row["retained"] for row in rows]
    axis.plot(x, values, color=colour, marker=marker, linestyle=style.LINES[index % 4])
    if index == 0:
        low, high = ([row[f"retained_{end}"] for row in rows] for end in ("low", "high"))
        axis.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def bytes_by_level(data: Data) -> Figure:
    """Bytes of each format against sparsity, with the entropy bound, a panel a model."""
    figure, axes = style.panels(len(data.models), 2.5, sharey=True)
    for axis, model in zip(axes, data.models, strict=True):
        rows = data.sizes_of(model)
        formats = list(dict.fromkeys(rows["format"]))
        for i, name in enumerate(formats):
            part = rows[rows["format"] == name].sort_values("sparsity")
            axis.plot(range(len(part)), part["bytes"] / 1e6, label=name, **style.ordinal(i))
        bound = rows[rows["format"] == formats[0]].sort_values("sparsity")
        axis.plot(
            range(len(bound)), bound["bound_bytes"] / 1e6, label="entropy bound",
            color="black", linestyle=":", marker="",
        )  # fmt: skip
        axis.set_title(model)
        style.level_axis(axis, data.levels)
    axes[0].set_ylim(bottom=0)  # after all are drawn: the axes are shared
    for axis in _left_column(axes):
        axis.set_ylabel("file size (MB)")
    style.legend_below(figure, axes[0])
    return figure


def speedups(data: Data) -> Figure:
    """Speed-up over the dense model against sparsity: a panel a batch size, a line a model."""
    runtime = data.runtime
    batches = sorted(runtime["batch"].unique())
    figure, axes = style.panels(len(batches), 2.5, sharey=True)
    for axis, batch in zip(axes, batches, strict=True):
        for i, model in enumerate(data.models):
            part = runtime[(runtime["model"] == model) & (runtime["batch"] == batch)]
            axis.plot(range(len(part)), part["speedup"], label=model, **style.ordinal(i))
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_title(f"batch {batch}")
        axis.set_ylim(0, max(1.6, 1.1 * runtime["speedup"].max()))
        style.level_axis(axis, data.levels)
    axes[0].set_ylabel("speed-up over dense")
    style.legend_below(figure, axes[0])
    return figure


def _scope(data: Data, table: str, model: str, scope: str) -> pd.DataFrame:
    """A table's rows for one scope of a model's pretrained weights."""
    rows = data[table]
    variants = data["variants"]
    own = variants.loc[(variants["model"] == model) & (variants["kind"] == "dense"), "variant"]
    return rows[rows["variant"].isin(own) & (rows["scope"] == scope)]


def _stacks(data: Data) -> list[tuple[str, str, list[int]]]:
    """(model, part, its layers) for every stack of blocks."""
    found: dict[tuple[str, str], list[int]] = {}
    for _, row in data["profile_scopes"].iterrows():
        match = re.fullmatch(r"layer:(\w+):(\d+)", row["scope"])
        if match:
            found.setdefault((row["model"], match[1]), []).append(int(match[2]))
    in_order = sorted(found, key=lambda key: (data.models.index(key[0]), PARTS.index(key[1])))
    return [(model, part, sorted(found[model, part])) for model, part in in_order]


def _left_column(axes: list[Axes]) -> list[Axes]:
    return axes[:: style.columns_of(len(axes))]


def _bottom_row(axes: list[Axes]) -> list[Axes]:
    return axes[-style.columns_of(len(axes)) :]
