"""Processes: which one this is, whether another still runs, and that none outlives its parent."""

import contextlib
import ctypes
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker

import psutil

from analysis.engine.stopping import SIGNALS

OPENED_BYTES = 2_000_000_000  # of models that a worker keeps open: variants of several take turns
# what a worker may grow by: these, and the libraries that it has imported and compiled
GROWTH_BYTES = OPENED_BYTES + 1_000_000_000
_SET_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG, see prctl(2)
_SECONDS_BETWEEN_LOOKS = 1.0
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def host() -> str:
    """This host's name, without what a file name could not hold."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())


def process_tag() -> str:
    """A name for this process that no other running one has, on any host that shares a disk."""
    return f"{host()}-{os.getpid()}"


def tagged(name: str) -> int | None:
    """The process of this host whose tag, with something behind it, ends the name; else None."""
    found = re.search(rf"{re.escape(host())}-(\d+)-\w+$", name)
    return int(found[1]) if found else None


def is_left(name: str) -> bool:
    """Whether the name ends with the tag of a process of this host that runs no more."""
    number = tagged(name)
    return number is not None and not is_running(number)


def is_running(pid: int) -> bool:
    """Whether a process of that number runs on this host; one that has ended, and that nobody
    asked about, does not."""
    return _status(pid) not in _ENDED


def is_stopped(pid: int) -> bool:
    """Whether the process was stopped, as by Ctrl-Z; False where the system does not tell."""
    return _status(pid) in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def _status(pid: int) -> str:
    """What psutil calls its state; empty where the system does not tell."""
    try:
        return str(psutil.Process(pid).status())
    except (psutil.NoSuchProcess, TypeError, ValueError):  # or no number of a process
        return str(psutil.STATUS_DEAD)
    except psutil.AccessDenied:
        return ""


def end_with(parent: int) -> None:
    """Let this process end, at once, as soon as its parent, of that number, has ended.

    Its own children do not inherit that: each has to call it.
    """
    try:
        asked = ctypes.CDLL(None).prctl(_SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL) == 0
    except (OSError, AttributeError):
        asked = False
    if not asked:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it has ended before
        os._exit(1)


def _watch(parent: int) -> None:
    """The same on systems that are no Linux."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Processes begun in the block do not heed the signals that end this one, which ends them: a
    terminal sends Ctrl-C to all of them, and each would have its own last words."""
    resource_tracker.ensure_running()  # begun with the first process, it would unblock them again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def quiet_libraries() -> None:
    """Keep the libraries' advice off the screen; before they are imported."""
    os.environ.update({"TRANSFORMERS_VERBOSITY": "error", "DISABLE_SAFETENSORS_CONVERSION": "1"})
