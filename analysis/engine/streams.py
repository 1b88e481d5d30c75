"""The standard streams, which may be closed, or lead to somebody who reads no more."""

import os
import sys


def open_closed() -> None:
    """Let each stream that this process was begun without lead to nowhere.

    Else the next file that is opened takes its number, and what is printed goes into that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(opened, True)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def flush() -> str:
    """Print what waits to be printed; why that cannot be, empty where it could or nobody reads."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # what waits would be tried, and complained about, once more at the interpreter's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "" if isinstance(error, BrokenPipeError) else f"cannot write to stdout: {error}"
    return ""
