"""What is retained on average, and how far one may go."""

import pandas as pd

from analysis.paper import cells, text
from analysis.paper.data import Data
from analysis.paper.quality import seeds as seeds_of
from analysis.paper.sourced import Sourced, sourced, told
from analysis.paper.verdicts import retained

_SAFE = 0.9  # of the dense quality


def confidence(data: Data) -> Sourced:
    return told(text.level(data.environment["bootstrap"]["confidence"]), "bootstrap")


def resamples(data: Data) -> Sourced:
    return told(text.count(data.environment["bootstrap"]["resamples"]), "bootstrap")


def seeds(data: Data) -> Sourced:
    """The seeds that the study was run with."""
    return told(text.listing([str(seed) for seed in data.seeds]), "seeds")


def mean_retained(data: Data, level: float) -> Sourced:
    """Retained quality at a level under the leading method, averaged over benchmarks.

    A benchmark below chance counts as nothing retained.
    """
    shown = text.percent(data.mean_retained(data.retained(data.leading, level).values()), 0)
    return sourced(shown, "quality", _led(data, level))


def mean_retained_list(data: Data) -> Sourced:
    """The mean at every level that was scored, as in a sentence."""
    found = [(mean_retained(data, level), level) for level in data.levels]
    known = [f"{m} at {text.level(lv)}" for m, lv in found if m != text.MISSING]
    shown = text.listing(known) if known else "nothing that could be scored"
    return sourced(shown, "quality", _led(data, *data.levels))


def safe_level(data: Data) -> Sourced:
    """The level up to which every benchmark surely retains nine tenths."""
    level = _safe(data)
    shown = "none of the levels" if level is None else text.level(level)
    return sourced(shown, "quality", _led(data, *data.levels))


def seed_spread(data: Data) -> Sourced:
    """By how much what a benchmark retains differs at most between two seeds, and where."""
    found = seeds_of.spreads(data, data.sound())
    if not found:
        return sourced(text.MISSING, "quality", [])
    widest = max(found, key=lambda one: one.most - one.least)
    where = f"{cells.phrase(data, widest.cell)} at {text.level(widest.level)}"
    shown = f"{text.fixed(widest.most - widest.least)} ({where})"
    return sourced(shown, "quality", widest.scores)


def void_list(data: Data) -> Sourced:
    """The benchmarks whose dense model is not above chance."""
    dense = data.scores[data.scores["kind"] == "dense"]
    pairs = zip(dense["model"], dense["task"], strict=True)
    rows = dense[[cell in data.void for cell in pairs]]
    listed = [cells.phrase(data, cell) for cell in data.cells() if cell in data.void]
    return sourced(text.listing(listed), "quality", rows)


def failed_list(data: Data) -> Sourced:
    """The benchmarks that failed."""
    lost = [cell for cell in data.benchmarks if cell not in data.cells()]
    rows = data["failures"][data["failures"]["model"].isin([model for model, _ in lost])]
    return sourced(text.listing([cells.phrase(data, cell) for cell in lost]), "failures", rows)


def mean_at_lowest(data: Data) -> Sourced:
    """The mean at the lowest level of the leading method."""
    return _mean_at(data, data.levels[:1])


def mean_at_highest(data: Data) -> Sourced:
    """The mean at its highest level."""
    return _mean_at(data, data.levels[-1:])


def _mean_at(data: Data, levels: list[float]) -> Sourced:
    return mean_retained(data, levels[0]) if levels else sourced(text.MISSING, "quality", [])


def _led(data: Data, *levels: float) -> list[pd.Series]:
    """What sound benchmarks scored under the leading method, as far as they were scored."""
    found = [data.find(*cell, data.leading, level) for level in levels for cell in data.sound()]
    return [row for row in found if row is not None]


def _safe(data: Data) -> float | None:
    """That level; None if the lowest is none. A benchmark that failed at a level is not safe."""
    safe = None
    for level in data.levels:
        rows = [data.find(*cell, data.leading, level) for cell in data.sound()]
        if not rows or any(row is None or not retained(row).low >= _SAFE for row in rows):
            break
        safe = level
    return safe
