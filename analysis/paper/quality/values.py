"""What is retained on average, and how far one may go."""

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.verdicts import retained

_SAFE = 0.9  # of the dense quality


def confidence(data: Data) -> str:
    return text.level(data.environment["bootstrap"]["confidence"])


def resamples(data: Data) -> str:
    return text.count(data.environment["bootstrap"]["resamples"])


def mean_retained(data: Data, level: float) -> str:
    """Retained quality at a level under the leading method, averaged over benchmarks.

    A benchmark below chance counts as nothing retained.
    """
    return text.percent(data.mean_retained(data.retained(data.leading, level).values()), 0)


def mean_retained_list(data: Data) -> str:
    """The mean at every level that was scored, as in a sentence."""
    found = [(mean_retained(data, level), level) for level in data.levels]
    return text.listing([f"{m} at {text.level(lv)}" for m, lv in found if m != text.MISSING])


def safe_level(data: Data) -> str:
    """The level up to which every benchmark surely retains nine tenths."""
    level = _safe(data)
    return "none of the levels" if level is None else text.level(level)


def safe_sentence(data: Data) -> str:
    """The same as a sentence."""
    level = _safe(data)
    if level is None:
        return "At none of the levels does each of them surely retain nine tenths."
    return (
        "By the lower ends of their intervals, each of them retains nine tenths up to"
        f" {text.level(level)}."
    )


def _safe(data: Data) -> float | None:
    """That level; None if the lowest is none. A benchmark that failed at a level is not safe."""
    safe = None
    for level in data.levels:
        rows = [data.find(*cell, data.leading, level) for cell in data.sound()]
        if not rows or any(row is None or not retained(row).low >= _SAFE for row in rows):
            break
        safe = level
    return safe
