"""The map of quality against bytes and milliseconds."""

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from analysis.paper import style
from analysis.paper.data import Data
from analysis.paper.tradeoff import measures

_ROWS = 4  # models that can stand one under another


def tradeoff_map(data: Data) -> Figure:
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
