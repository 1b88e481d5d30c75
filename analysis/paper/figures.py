"""Figures of what pruning saves: bytes and speed against sparsity."""

from matplotlib.figure import Figure

from analysis.paper import style
from analysis.paper.data import Data


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
