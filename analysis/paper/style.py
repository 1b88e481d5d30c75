"""One look for all figures: a palette that colour-blind readers can use, and marks beside it.

Okabe & Ito's colours, told apart by line style and marker too, so that print in grey still reads.
"""

import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from analysis.paper.chart import Chart

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
HOLLOW = ("s", "D", "o", "^", "v", "<", ">", "p")  # markers of what is no line
LINES = ("-", "--", "-.", ":")
INK = "black"
FULL_WIDTH = 6.4  # inches: the text width of the PDF
FULL_HEIGHT = 8.2  # inches: what a page leaves beside the caption
_LEGEND_WIDTH = 97  # characters of a legend over the full width
_HANDLE = 8  # of them the handle beside an entry, and the gap
_TITLE_WIDTH = 87  # characters of titles over the full width


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
            "axes.titlesize": 7.5,
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


def panels(count: int, height: float, **options: Any) -> tuple[Chart, list[Axes]]:
    """Panels over the full width, three at most in a row, and rows as even as can be."""
    columns = columns_of(count)
    figure, flat = grid(-(-count // columns), columns, height, **options)
    for axis in flat[count:]:
        axis.set_visible(False)
    for axis in bottom_row(flat[:count]):  # a shared axis is labelled in the last row alone
        axis.tick_params(labelbottom=True)
    return figure, flat[:count]


def grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Chart, list[Axes]]:
    """So many panels each way over the full width, listed row by row, within a page's height."""
    size = (FULL_WIDTH, min(height * rows, FULL_HEIGHT))
    figure, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, FigureClass=Chart, **options
    )
    assert isinstance(figure, Chart)
    plt.close(figure)  # else a notebook shows it twice: as an open figure and as the chunk's value
    return figure, list(axes.flat)


def nothing(why: str) -> Chart:
    """A figure for what a study did not do: one line that says so."""
    figure, (axis,) = grid(1, 1, 0.5)
    axis.axis("off")  # yet there: a notebook shows no picture of a figure without axes
    axis.text(0.5, 0.5, why, ha="center", va="center", style="italic")
    return figure


def marked(figure: Chart, mark: str) -> Chart:
    """The figure with a line above it that no reader can miss."""
    height = figure.get_figheight()
    figure.set_figheight(height + 0.25)
    figure.suptitle(mark, color=COLOURS[1], weight="bold", fontsize=9)
    return figure


def label_below(axes: list[Axes]) -> None:
    """Panels that say the same below say it in the last row alone."""
    for axis in axes[: -columns_of(len(axes))]:
        axis.set_xlabel("")


def columns_of(count: int) -> int:
    """How many panels stand in a row: four as two by two."""
    rows = -(-count // 3)
    return -(-count // rows)


def legend_below(figure: Chart, source: Axes, columns: int = 4, title: str | None = None) -> None:
    """One legend for all panels, under them, from the entries of one."""
    handles, labels = source.get_legend_handles_labels()
    legend(figure, handles, labels, columns, title)


def legend(
    figure: Chart,
    handles: Sequence[Artist],
    labels: Sequence[str],
    columns: int = 4,
    title: str | None = None,
) -> None:
    """A legend under all panels, in as many columns as its longest entry leaves room for."""
    if not labels:
        return
    columns = max(n for n in range(1, min(columns, len(labels)) + 1) if n == 1 or _fits(labels, n))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title)


def _fits(labels: Sequence[str], columns: int) -> bool:
    """Whether so many columns of a legend stand side by side; they are filled one by one."""
    rows, longer = divmod(len(labels), columns)
    ends = [i * rows + min(i, longer) for i in range(columns + 1)]
    parts = [labels[start:end] for start, end in itertools.pairwise(ends)]
    return sum(max(map(len, part)) + _HANDLE for part in parts) <= _LEGEND_WIDTH


def entries(axes: Sequence[Axes]) -> tuple[list[Artist], list[str]]:
    """The legend entries of all panels, each once: one may lack what another has."""
    found: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def title(axis: Axes, text: str, columns: int) -> None:
    """A panel's title, in as many lines as it takes when so many panels stand side by side."""
    axis.set_title("\n".join(textwrap.wrap(text, max(12, _TITLE_WIDTH // columns))))


def say(axis: Axes, why: str) -> None:
    """A panel with nothing to draw says why, on the axes that the others have."""
    axis.text(0.5, 0.5, why, ha="center", va="center", style="italic", transform=axis.transAxes)


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
