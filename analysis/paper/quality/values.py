"""What is retained on average, and how far one may go."""

from analysis.paper import cells, text
from analysis.paper.data import Data
from analysis.paper.verdicts import retained

_SAFE = 0.9  # of the dense quality


def confidence(data: Data) -> str:
    return text.level(data.environment["bootstrap"]["confidence"])


def resamples(data: Data) -> str:
    return text.count(data.environment["bootstrap"]["resamples"])


def seeds(data: Data) -> str:
    """The seeds that the study was run with."""
    return text.listing([str(seed) for seed in data.seeds])


def mean_retained(data: Data, level: float) -> str:
    """Retained quality at a level under the leading method, averaged over benchmarks.

    A benchmark below chance counts as nothing retained.
    """
    return text.percent(data.mean_retained(data.retained(data.leading, level).values()), 0)


def mean_retained_list(data: Data) -> str:
    """The mean at every level that was scored, as in a sentence."""
    found = [(mean_retained(data, level), level) for level in data.levels]
    known = [f"{m} at {text.level(lv)}" for m, lv in found if m != text.MISSING]
    return text.listing(known) if known else "nothing that could be scored"


def safe_level(data: Data) -> str:
    """The level up to which every benchmark surely retains nine tenths."""
    level = _safe(data)
    return "none of the levels" if level is None else text.level(level)


def void_list(data: Data) -> str:
    """The benchmarks whose dense model is not above chance."""
    return text.listing([cells.phrase(data, cell) for cell in data.cells() if cell in data.void])


def failed_list(data: Data) -> str:
    """The benchmarks that failed."""
    lost = [cell for cell in data.benchmarks if cell not in data.cells()]
    return text.listing([cells.phrase(data, cell) for cell in lost])


def mean_at_lowest(data: Data) -> str:
    """The mean at the lowest level of the leading method."""
    return mean_retained(data, data.levels[0]) if data.levels else text.MISSING


def mean_at_highest(data: Data) -> str:
    """The mean at its highest level."""
    return mean_retained(data, data.levels[-1]) if data.levels else text.MISSING


def _safe(data: Data) -> float | None:
    """That level; None if the lowest is none. A benchmark that failed at a level is not safe."""
    safe = None
    for level in data.levels:
        rows = [data.find(*cell, data.leading, level) for cell in data.sound()]
        if not rows or any(row is None or not retained(row).low >= _SAFE for row in rows):
            break
        safe = level
    return safe
