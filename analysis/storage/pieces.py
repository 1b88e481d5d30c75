"""Long arrays in a few pieces, one core each."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from analysis.engine import threads

Item = TypeVar("Item")
Result = TypeVar("Result")

_EACH_CORE = 4  # pieces, so that a core that is busy elsewhere holds up little


def pieces(size: int, least: int) -> list[tuple[int, int]]:
    """From 0 to `size` in a few pieces: all but the last multiples of `least` long."""
    if not size:
        return []
    number = max(1, min(_EACH_CORE * threads.count(), size // least))
    step = -(-size // (number * least)) * least
    return list(pairwise([*range(0, size, step), size]))


def over(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The function's results, computed side by side; one item alone needs no thread."""
    return list(map(function, items) if len(items) < 2 else threads.each(function, items))
