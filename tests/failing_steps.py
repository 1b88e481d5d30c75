"""Steps that fail in the ways that steps do, for the tests of runs."""

import os
import signal
import time
from pathlib import Path

from analysis.engine import machine


def works(objects, *, number):
    return {"twice": 2 * number}


def breaks(objects):
    raise ValueError("this cannot be\ndivided")


def refuses(objects):
    from analysis.errors import RunError

    raise RunError("the loss is NaN; lower the learning rate")


def misses(objects):
    raise FileNotFoundError(2, "No such file or directory", "weights.bin")


def dies(objects):
    os.kill(os.getpid(), signal.SIGKILL)


def exits(objects):
    os._exit(3)


def dies_once(objects, *, note):
    if not Path(note).exists():
        Path(note).touch()
        dies(objects)
    return {"lived": True}


def measured_dies_once(objects, *, note):
    return machine.peak_of(lambda: dies_once(objects, note=note))[0]


def never_ends(objects, *, note):
    """The process of the step, and one that it measures, note their numbers."""
    machine.peak_of(lambda: _rest(note))


def _rest(note):
    Path(note).write_text(f"{os.getppid()} {os.getpid()}", encoding="ascii")
    time.sleep(600)
