"""Figures of what pruning does: quality, bytes and speed against sparsity."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.paper import style
from analysis.paper.data import Data


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
        axis.set_title(style.name(model))
        axis.set_ylim(-0.3, 1.15)
        style.level_axis(axis, data.levels)
    for axis in style.left_column(axes):
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
        axis.set_title(style.name(model))
        style.level_axis(axis, data.levels)
    axes[0].set_ylim(bottom=0)  # after all are drawn: the axes are shared
    for axis in style.left_column(axes):
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
            axis.plot(
                range(len(part)), part["speedup"], label=style.name(model), **style.ordinal(i)
            )
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_title(f"batch {batch}")
        axis.set_ylim(0, max(1.6, 1.1 * runtime["speedup"].max()))
        style.level_axis(axis, data.levels)
    axes[0].set_ylabel("speed-up over dense")
    style.legend_below(figure, axes[0])
    return figure
