"""How far a long step has come: steps say it here, whoever runs them chooses where it is shown."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
Sink = Callable[[str, int, int], None]  # (what, done, total)

_sink: Sink | None = None
_say: Callable[[str], None] | None = None
_SECONDS_BETWEEN_REPORTS = 0.2


def send_to(sink: Sink | None) -> None:
    """Send this process's progress to `sink`; None keeps it quiet (the default)."""
    global _sink
    _sink = sink


def say_to(say: Callable[[str], None] | None) -> None:
    """Have the lines of this process's steps said so; None prints them on stderr (the default)."""
    global _say
    _say = say


def say(line: str) -> None:
    """Tell whoever watches, in one line."""
    if _say is None:
        print(line, file=sys.stderr, flush=True)
    else:
        _say(line)


class Meter:
    """Counts how much of something is done and says so, at most five times a second.

    What is counted (bytes, say) is said in units of `unit` (millions). Threads may share it.
    """

    def __init__(self, what: str, total: int, unit: int = 1):
        self._what, self._total, self._unit = what, total, unit
        self._done, self._said = 0, 0.0
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        """So much more is done."""
        with self._lock:
            self._done += amount
            now = time.monotonic()
            if _sink and (
                self._done >= self._total or now - self._said >= _SECONDS_BETWEEN_REPORTS
            ):
                self._said = now
                _sink(self._what, self._done // self._unit, self._total // self._unit)


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The items, one by one, with progress reported as they are taken.

    `total` is needed when `items` has no length.
    """
    if total is None:
        if not isinstance(items, Sized):
            raise TypeError("track needs `total` for items without a length")
        total = len(items)
    meter = Meter(what, total)
    meter.add(0)
    for item in items:
        yield item
        meter.add(1)
