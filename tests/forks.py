"""The command line in forks of this process, in which all libraries are there already: a command
that computes takes a second in place of ten, and may crash or hang."""

import contextlib
import ctypes
import gc
import importlib
import os
import pkgutil
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mini
import transformers
from commandline import Done

from analysis import cli, commands, steps
from analysis.engine import runner, workers
from analysis.engine.memo import Call, Outcome

_CAPABILITIES_3 = 0x20080522  # of the kernel's interface


def preload() -> None:
    """Import what commands import when they need it."""
    transformers.utils.logging.disable_progress_bar()
    for package in (commands, steps):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")


def command(
    folder: Path,
    *arguments: str,
    seconds: float = 300.0,
    memory_bytes: int | None = None,
) -> Done:
    """`python -m analysis …` in that folder, with no more memory than that, and no right of root's
    to read or write what its mode does not allow.

    The steps of a run are computed in the fork itself, those that take long cut short (see `mini`).
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            try:
                gc.freeze()  # what is there already is not searched for garbage
                os.setsid()
                for stream, number in ((out, 1), (err, 2)):
                    os.dup2(stream.fileno(), number)
                sys.stdout, sys.stderr = (open(n, "w", encoding="utf-8") for n in (1, 2))  # noqa: SIM115
                if memory_bytes is not None:
                    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
                _heed_modes()
                status = _status(folder, arguments)
            except BaseException as error:
                print(f"Traceback: {error!r}", file=sys.stderr)
                status = 99
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
        status = _waited(child, seconds)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
        return Done(status, *texts)


def _heed_modes() -> None:
    """Give up the capabilities DAC_OVERRIDE and DAC_READ_SEARCH, see capabilities(7)."""
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None)
    libc.capget(header, sets)
    sets[0] &= ~0b110  # of those in effect, 1 and 2
    libc.capset(header, sets)


def _waited(child: int, seconds: float) -> int | None:
    """Its exit status; None if it had to be killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _status(folder: Path, arguments: tuple[str, ...]) -> int:
    os.chdir(folder)
    sys.argv = ["analysis", *arguments]
    os.environ["SPARSITY_STUDY"] = "mini"
    with mini.short_steps(), patch.object(runner.Runner, "_compute", _here):
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


async def _here(self: runner.Runner, call: Call, *_: Any) -> Outcome:
    """In place of a worker: this process."""
    try:
        return self.memo.run(call)
    except Exception as error:
        raise workers.explained(call, error, self.memo.folder) from error
