"""Heat maps of what each layer bears."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from analysis.paper import cells, style, text
from analysis.paper.chart import Chart, Series
from analysis.paper.data import Data

_LABELLED_ROWS = 16  # of a heat map: more leave no room for numbers
_NAMED_ROWS = 14


def sensitivity_map(data: Data) -> Chart:
    """What is retained with one group of matrices pruned alone: a panel a benchmark."""
    table = data["sensitivity"]
    panels = list(table.groupby(["model", "task"], sort=False))
    if not panels:
        return style.nothing("This study prunes no layer alone.")
    most = max(part["group"].nunique() for _, part in panels)
    figure, axes = style.panels(len(panels), 0.8 + 0.22 * most)
    image = None
    for axis, ((model, task), part) in zip(axes, panels, strict=True):
        grid = part.pivot(index="group", columns="sparsity", values="retained")
        grid = grid.loc[list(dict.fromkeys(part["group"]))]  # as the model has them
        shown = np.clip(grid.to_numpy(dtype=float), 0, 1)
        image = axis.imshow(shown, aspect="auto", cmap="viridis", vmin=0, vmax=1)
        if len(grid) <= _LABELLED_ROWS:
            _label_cells(axis, grid)
        axis.set_xticks(range(len(grid.columns)), [f"{100 * s:g}" for s in grid.columns])
        step = -(-len(grid) // _NAMED_ROWS)
        axis.set_yticks(range(0, len(grid), step), list(map(style.name, grid.index[::step])))
        axis.set_xlabel("sparsity of the group (%)")
        title = f"{style.name(model)}: {style.name(data.task_title(task))}"
        style.title(axis, title, style.columns_of(len(panels)))
        if (model, task) in data.void:
            style.say(axis, cells.VOID)
        axis.grid(False)
        figure.series.append(_cells(axis, image, data, part, grid))
    if image is not None:
        figure.colorbar(image, ax=axes, label="retained quality", shrink=0.9, aspect=14)
    return figure


def _cells(
    axis: Axes, image: AxesImage, data: Data, part: pd.DataFrame, grid: pd.DataFrame
) -> Series:
    """What the cells show."""
    shown = part[["model", "task", "group", "sparsity", "retained"]].reset_index(drop=True)
    shown["task"] = shown["task"].map(data.task_title)
    for end in ("low", "high"):
        if f"retained_{end}" in part:
            shown[end] = part[f"retained_{end}"].to_list()
    at = [
        (list(grid.columns).index(level), list(grid.index).index(group))
        for level, group in zip(shown["sparsity"], shown["group"], strict=True)
    ]
    said = [
        (f"{row['group']} at {text.level(row['sparsity'])}", text.fixed(row["retained"]), "")
        for _, row in shown.iterrows()
    ]
    return Series(axis, [image], "retained quality", shown, at, said)


def _label_cells(axis: Axes, grid: pd.DataFrame) -> None:
    """The numbers themselves, dark on light cells and light on dark ones."""
    for y, x in np.ndindex(grid.shape):
        value = grid.iloc[y, x]
        if pd.notna(value):
            colour = "white" if value < 0.6 else "black"
            axis.text(x, y, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
