"""A figure that knows its numbers, and where in the picture each of them stands."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_POINTS = 72  # an inch: the unit of SVG as matplotlib writes it
LEGEND = "legend"


@dataclass(frozen=True)
class Series:
    """What one panel shows of one entry of the legend.

    The rows are the numbers behind it, in columns as a reader names them. Where single points
    answer to a reader, `at` has their places on the axes, and `said` what each says: its level,
    its value, and the variant that it is of.
    """

    axis: Axes
    artists: Sequence[Artist]
    name: str
    rows: pd.DataFrame
    at: Sequence[tuple[float, float]] = ()
    said: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True)
class Pick:
    """What to take of a model from that loss in per cent on, as a sentence, and its places."""

    model: str
    loss: int
    sentence: str
    at: Sequence[tuple[Axes, float, float]]


class Chart(Figure):
    """A figure with the numbers behind it; functions that draw it say them as they draw."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.series: list[Series] = []
        self.picks: list[Pick] = []

    @property
    def numbers(self) -> pd.DataFrame:
        """All numbers that are shown, each row once, in the order in which they are drawn."""
        if not self.series:
            return pd.DataFrame()
        rows = pd.concat([one.rows for one in self.series], ignore_index=True)
        return rows.drop_duplicates().reset_index(drop=True)

    def svg(self) -> str:
        """The picture; whatever belongs to a series has its id there (see `marks`)."""
        for artist, known in self._named():
            artist.set_gid(known)
        self.set_dpi(_POINTS)  # laid out as it is written
        written = io.BytesIO()
        self.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
        return written.getvalue().decode()

    def marks(self) -> dict[str, Any]:
        """What of the picture, as `svg` wrote it last, belongs to which series, and what each
        point says, for the script of the page; empty if nothing answers."""
        series = [
            {
                "name": one.name,
                "panel": _words(one.axis.get_title() or one.axis.get_xlabel()),
                "ids": [_id(i, j) for j in range(len(one.artists))],
                "points": [
                    [*place, *said]
                    for point, said in zip(one.at, one.said, strict=True)
                    if (place := self._place(one.axis, *point))
                ],
            }
            for i, one in enumerate(self.series)
        ]
        keys = {name: f"key{i}" for i, (_, name) in enumerate(self._keys())}
        if not keys and not any(one["points"] for one in series):
            return {}
        return {"series": series, "keys": keys, **self._legend(), "picks": list(self._picks())}

    def _named(self) -> Iterator[tuple[Artist, str]]:
        for i, one in enumerate(self.series):
            for j, artist in enumerate(one.artists):
                yield artist, _id(i, j)
        for i, (handle, _) in enumerate(self._keys()):
            yield handle, f"key{i}"

    def _keys(self) -> list[tuple[Artist, str]]:
        """The legend's entries that a series belongs to."""
        known = {one.name for one in self.series}
        found = [
            (handle, _words(text.get_text()))
            for legend in self.legends
            for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True)
            if handle is not None
        ]
        return [(handle, name) for handle, name in found if name in known]

    def _legend(self) -> dict[str, float]:
        """Where the legend begins: the page has buttons in its place."""
        if not self.legends:
            return {}
        top = max(legend.get_window_extent().ymax for legend in self.legends)
        return {LEGEND: round(float(self.bbox.height - top), 1)}

    def _picks(self) -> Iterator[dict[str, Any]]:
        for pick in self.picks:
            places = [self._place(*at) for at in pick.at]
            yield {
                "model": pick.model,
                "loss": pick.loss,
                "sentence": pick.sentence,
                "at": [place for place in places if place],
            }

    def _place(self, axis: Axes, x: float, y: float) -> list[float]:
        """A point of the axis in the picture's own units, from its upper left; empty if it is not
        to be seen there."""
        across, up = axis.transData.transform((x, y))
        frame = axis.get_window_extent()
        if not np.isfinite([across, up]).all() or not frame.padded(1).contains(across, up):
            return []
        return [round(float(across), 1), round(float(self.bbox.height - up), 1)]


def _id(series: int, artist: int) -> str:
    return f"series{series}-{artist}"


def _words(label: str) -> str:
    """A label of matplotlib's as it reads: see `style.name`."""
    return " ".join(label.replace(r"\$", "$").split())
