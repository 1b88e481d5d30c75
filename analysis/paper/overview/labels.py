"""Names beside the lines that they name, where they are clear of all else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from numpy.typing import NDArray

_SIZE = 7.5  # points
_GAP = 4.5  # points between a line and its name: its marks need some
_FINE = 160  # places looked at along a line
_EDGE = 2.0  # points that a name keeps from the sides
_TRIED = 40  # places each way
_DARKER = 0.75  # times the line's colour: letters are thinner than it
_FAR = 30.0  # points: farther from the other lines is no clearer

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Box:
    """A name's place, in points."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, other: "_Box") -> bool:
        beside = self.left >= other.right or other.left >= self.right
        return not (beside or self.low >= other.high or other.low >= self.high)


def beside(axis: Axes, lines: Sequence[Line2D], clear_of: Sequence[Line2D] = ()) -> None:
    """Write each line's label beside it, once limits and layout are final; what fits nowhere goes
    into a legend."""
    figure = axis.get_figure()
    assert figure is not None
    scale = 72 / figure.dpi  # pixels to points
    frame = axis.get_window_extent()
    whole = _Box(0, 0, frame.width * scale, frame.height * scale)
    paths = [_path(axis, line, scale) for line in [*lines, *clear_of]]
    taken: list[_Box] = []
    left_over = []
    for i, line in enumerate(lines):
        label = str(line.get_label()).replace(", ", ",\n")
        text = axis.text(0, 0, label, fontsize=_SIZE, color=_ink(line))
        extent = text.get_window_extent()
        size = extent.width * scale, extent.height * scale
        box = _place(i, paths, size, whole, taken)
        if box is None:
            text.remove()
            left_over.append(line)
            continue
        taken.append(box)
        text.set(ha="center", va="center", transform=axis.transAxes)
        centre = (box.left + box.right) / 2 / whole.right, (box.low + box.high) / 2 / whole.high
        text.set_position(centre)
    if left_over:
        axis.legend(handles=left_over, loc="best", fontsize=_SIZE, handlelength=1.5)


def _ink(line: Line2D) -> tuple[float, ...]:
    return tuple(_DARKER * part for part in to_rgb(line.get_color()))


def _path(axis: Axes, line: Line2D, scale: float) -> tuple[Array, Array]:
    """The line at many places, in points from the panel's lower left corner."""
    data = np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata())])
    frame = axis.get_window_extent()
    places = (line.get_transform().transform(data) - [frame.x0, frame.y0]) * scale
    x = np.linspace(places[:, 0].min(), places[:, 0].max(), _FINE)
    return x, np.interp(x, *places.T)


def _place(
    own: int,
    paths: Sequence[tuple[Array, Array]],
    size: tuple[float, float],
    whole: _Box,
    taken: Sequence[_Box],
) -> _Box | None:
    """The place beside a line that is clearest of all others; None if there is none."""
    found: list[tuple[float, _Box]] = []
    for box, where in _around(paths[own], size, whole):
        inside = box.left >= _EDGE and box.low >= 0 and box.right <= whole.right - _EDGE
        if not inside or box.high > whole.high or any(map(box.meets, taken)):
            continue
        others = [path for k, path in enumerate(paths) if k != own]
        clear = min((_clearance(box, path) for path in others), default=_FAR)
        if clear > 0 and _clearance(box, paths[own]) > 0:
            apart = min((_distance(where, path) for path in others), default=_FAR)
            found.append((min(clear, _FAR) + min(apart, _FAR), box))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _around(
    path: tuple[Array, Array], size: tuple[float, float], whole: _Box
) -> Iterator[tuple[_Box, tuple[float, float]]]:
    """Places above, below, left and right of a line, each with the point of it that is next."""
    x, y = path
    width, height = size
    for left in np.linspace(0, whole.right - width, _TRIED):
        within = (x >= left) & (x <= left + width)
        if within.sum() > 1 and np.ptp(y[within]) <= height:  # where it is steep, it would be far
            middle = left + width / 2, float(np.median(y[within]))
            for low in (y[within].max() + _GAP, y[within].min() - _GAP - height):
                yield _Box(left, low, left + width, low + height), middle
    for low in np.linspace(0, whole.high - height, _TRIED):
        within = (y >= low) & (y <= low + height)
        if within.any() and np.ptp(x[within]) <= width:
            middle = float(np.median(x[within])), low + height / 2
            for left in (x[within].max() + _GAP, x[within].min() - _GAP - width):
                yield _Box(left, low, left + width, low + height), middle


def _clearance(box: _Box, path: tuple[Array, Array]) -> float:
    """How far a line stays from the box; 0 if it meets it."""
    x, y = path
    across = np.maximum(np.maximum(box.left - x, x - box.right), 0)
    up = np.maximum(np.maximum(box.low - y, y - box.high), 0)
    return float(np.hypot(across, up).min())


def _distance(point: tuple[float, float], path: tuple[Array, Array]) -> float:
    """How far a line is from a point."""
    return float(np.hypot(path[0] - point[0], path[1] - point[1]).min())
