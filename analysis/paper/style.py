"""One look for all figures: a palette that colour-blind readers can use, and marks beside it.

Okabe & Ito's colours, told apart by line style and marker too, so that print in grey still reads.
"""

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
HOLLOW = ("s", "D", "o", "^", "v", "<", ">", "p")  # markers of what is no line
LINES = ("-", "--", "-.", ":")
INK = "black"
FULL_WIDTH = 6.4  # inches: the text width of the PDF


def use() -> None:
    """Set matplotlib's defaults for the paper: transparent ground, text as outlines, fixed ids."""
    mpl.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "svg.fonttype": "path",
            "svg.hashsalt": "paper",
            "font.size": 9,
            "axes.titlesize": 9,
            "axes.labelsize": 9,
            "legend.fontsize": 8,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.linewidth": 0.4,
            "grid.alpha": 0.35,
            "lines.linewidth": 1.4,
            "lines.markersize": 4,
            "legend.frameon": False,
        }
    )


def panels(count: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """Panels over the full width, three at most in a row, and rows as even as can be."""
    columns = columns_of(count)
    figure, flat = grid(-(-count // columns), columns, height, **options)
    for axis in flat[count:]:
        axis.set_visible(False)
    return figure, flat[:count]


def grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """So many panels each way over the full width, listed row by row."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(FULL_WIDTH, height * rows), squeeze=False, **options
    )
    plt.close(figure)  # else a notebook shows it twice: as an open figure and as the chunk's value
    return figure, list(axes.flat)


def nothing(why: str) -> Figure:
    """A figure for what a study did not do: one line that says so."""
    figure = plt.figure(figsize=(FULL_WIDTH, 0.5))
    plt.close(figure)
    figure.text(0.5, 0.5, why, ha="center", va="center", style="italic")
    return figure


def columns_of(count: int) -> int:
    """How many panels stand in a row: four as two by two."""
    rows = -(-count // 3)
    return -(-count // rows)


def legend_below(figure: Figure, source: Axes, columns: int = 4, title: str | None = None) -> None:
    """One legend for all panels, under them, from the entries of one."""
    handles, labels = source.get_legend_handles_labels()
    columns = min(columns, max(1, len(labels)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title)


def ordinal(index: int) -> dict[str, Any]:
    """Colour, marker and line style of the nth series."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }


def mark(index: int) -> dict[str, Any]:
    """Colour and marker of the nth group of points."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def level_axis(axis: Axes, levels: list[float]) -> None:
    """Sparsity on the x axis, evenly spaced by level, 0 for dense first."""
    axis.set_xticks(range(len(levels) + 1), ["0", *(f"{100 * x:g}" for x in levels)])
    axis.set_xlabel("sparsity (%)")


def sequential(index: int, count: int) -> dict[str, Any]:
    """Colour of the nth of an ordered series (layers, levels): from blue to orange, no marker."""
    place = 0.72 * index / max(1, count - 1)  # yellow would not show on white
    return {"color": mpl.colormaps["plasma"](place), "marker": "", "linestyle": "-"}


def left_column(axes: list[Axes]) -> list[Axes]:
    """The panels that stand first in their row."""
    return axes[:: columns_of(len(axes))]


def bottom_row(axes: list[Axes]) -> list[Axes]:
    """The panels of the last row."""
    return axes[-columns_of(len(axes)) :]


def name(text: object) -> str:
    """A name as a label or title: not taken for a formula, nor for a label to be hidden."""
    escaped = str(text).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
