"""How far a long step has come: steps say it here, whoever runs them chooses where it is shown."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
Sink = Callable[[str, int, int], None]  # (what, done, total)

_sink: Sink | None = None
_SECONDS_BETWEEN_REPORTS = 0.2


def send_to(sink: Sink | None) -> None:
    """Send this process's progress to `sink`; None keeps it quiet (the default)."""
    global _sink
    _sink = sink


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The items, one by one, with progress reported as they are taken, at most five times a second.

    `total` is needed when `items` has no length.
    """
    if total is None:
        if not isinstance(items, Sized):
            raise TypeError("track needs `total` for items without a length")
        total = len(items)
    last = 0.0
    for done, item in enumerate(items):
        if _sink and time.monotonic() - last >= _SECONDS_BETWEEN_REPORTS:
            _sink(what, done, total)
            last = time.monotonic()
        yield item
    if _sink:
        _sink(what, total, total)
