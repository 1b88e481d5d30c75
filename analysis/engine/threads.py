"""Work on all cores of this process, for code that lets other threads run while it computes."""

import functools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from analysis.engine import limits

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 8  # each holds a buffer


@functools.cache  # asked for every tensor, and the kernel tells it in a dozen files
def count() -> int:
    """How many threads work is given to: the cores that this process may use, 8 at most."""
    return min(_MOST, limits.cores())


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """The function's results in the order of the items, computed side by side.

    On an error, or Ctrl-C, what has not begun is not begun.
    """
    pool = ThreadPoolExecutor(count())
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
