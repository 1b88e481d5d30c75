"""Signals that ask this process to end: it ends in order, in one line, and soon."""

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LINE = "stopped; what is finished is kept, run again to go on"
_SECONDS_TO_END = 3.5  # in order; what is kept bears to be cut off at any moment

_asked: int | None = None
_interrupt: Callable[[], object] | None = None
_told = False


def heed() -> None:
    """From now on the signals raise KeyboardInterrupt, once.

    Those that this process was told to ignore, as by nohup, it ignores. A process that does not
    come to its end then, whatever holds it up, is ended.
    """
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def asked() -> bool:
    """Whether this process was asked to end."""
    return _asked is not None


def end() -> NoReturn:
    """End as asked, in one line and with the exit status that shells have for it.

    At once: the interpreter's own end may take for unhandled what was handled (it does if a
    string was just executed, as where a dataclass is made), and would end by the signal.
    """
    say()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(128 + (_asked or signal.SIGINT))


@contextlib.contextmanager
def calling(interrupt: Callable[[], object]) -> Iterator[None]:
    """While the block runs, a signal calls this in place of raising KeyboardInterrupt: where an
    exception out of nowhere would be lost."""
    global _interrupt
    _interrupt = interrupt
    try:
        yield
    finally:
        _interrupt = None


def say() -> None:
    """Say, once, that this process was stopped."""
    global _told
    if not _told:
        _told = True
        with contextlib.suppress(OSError, ValueError):  # stderr may be gone, as its terminal
            print(LINE, file=sys.stderr, flush=True)


def _stop(number: int, _frame: FrameType | None) -> None:
    global _asked
    if _asked is not None:
        return
    _asked = number
    warnings.simplefilter("ignore")  # of what is left undone
    late = threading.Timer(_SECONDS_TO_END, end)
    late.daemon = True
    late.start()
    if _interrupt is None:
        raise KeyboardInterrupt
    _interrupt()
