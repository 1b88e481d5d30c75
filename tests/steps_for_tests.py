"""Steps for the tests of the memo: they note each time they are computed, in a file."""

import os
import time
from pathlib import Path


def _note(log):
    with Path(log).open("a", encoding="utf-8") as stream:
        stream.write(f"{os.getpid()}\n")


def double(objects, *, x, log, seconds=0):
    _note(log)
    time.sleep(seconds)
    return {"twice": 2 * x}


def tuples(objects, *, log):
    _note(log)
    return {"pair": (1, 2), "by": {1: "a"}}


def store(objects, *, text, log):
    _note(log)
    return {"files": [{"name": "one", "object": objects.put_bytes(text.encode())}]}


def fail_once(objects, *, log):
    first = not Path(log).exists()
    _note(log)
    if first:
        raise ValueError("the first time only")
    return {"done": True}


def not_plain(objects, *, log):
    _note(log)
    return {"path": Path(log)}
