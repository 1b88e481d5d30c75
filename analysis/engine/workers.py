"""Worker processes: each does one call after the other, and ends with the process that began it."""

import asyncio
import contextlib
import errno
import gc
import multiprocessing
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing import spawn
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from analysis.engine import locks, machine, processes, progress
from analysis.engine.memo import Call, Memo, Outcome
from analysis.engine.memory import Gauge, Peak
from analysis.errors import AnalysisError, MachineError, RunError, one_line

# what the system says when no other step would fare better
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_NO_RIGHT = {errno.EACCES, errno.EPERM}
_NUMBERED = re.compile(r"\(os error (\d+)\)")  # as libraries written in Rust name it

Done = tuple[Outcome, Peak]
Said = Callable[..., None]  # the name of what a display does, and what with


class LostError(Exception):
    """A call came to no end of its own: its process ended, as the message says. With nothing
    beside it, it may."""


class ShortOfMemoryError(LostError):
    """What ended it was most likely that memory ran out."""


class Worker:
    """A process of its own; what its steps say on the way goes to `said`.

    Raises MachineError if the system has no room for it, or (at its first call) if this Python
    cannot be started again.
    """

    def __init__(self, folder: Path, said: Said):
        self._said = said
        self._begun = self._busy = self._spent = False
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        given = (folder, locks.this_process(), theirs)
        self._process = context.Process(target=serve, args=given)
        try:
            # begun anew, the process that tracks resources would warn that it was killed
            with warnings.catch_warnings(action="ignore"), processes.deaf_children():
                self._process.start()
        except OSError as error:
            raise MachineError(f"cannot start another process: {error.strerror}") from error
        theirs.close()

    @property
    def is_free(self) -> bool:
        """Whether it can be given a call."""
        return not self._busy and not self._spent and self._process.is_alive()

    async def do(self, call: Call) -> Done:
        """What came of the call, and the most memory that it held.

        Raises what the step raised, and LostError if the process ended or memory ran out.
        """
        heard, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), heard.set)
        self._busy = True
        try:
            with self._lost_if_dead():
                self._pipe.send(call)
            while True:
                await heard.wait()
                heard.clear()
                with self._lost_if_dead():
                    kind, *told = self._pipe.recv()
                if kind == "ended":
                    break
                if kind == "begun":
                    self._begun = True
                else:
                    self._said(kind, *told)
        finally:
            loop.remove_reader(self._pipe.fileno())
        self._busy, (self._spent, done, failure) = False, told
        if failure is not None:
            raise failure
        return done

    def end(self) -> None:
        """End the process at once; what it had finished is remembered."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    @contextlib.contextmanager
    def _lost_if_dead(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            raise self._lost() from error

    def _lost(self) -> LostError | MachineError:
        """Why the process is there no more."""
        self._process.join(timeout=5)
        status = self._process.exitcode
        if status is not None and status < 0:
            by = f"its process was ended by {signal.Signals(-status).name}"
            if -status == signal.SIGKILL:
                return ShortOfMemoryError(f"{by}: most often too little memory")
            return LostError(by)
        if not self._begun:
            python = os.fsdecode(spawn.get_executable())
            return MachineError(
                f"cannot start another process: {python} ended at once (exit status"
                f" {status}); see that it can be executed and has all it had, as by `make setup`"
            )
        return LostError(f"its process ended (exit status {status})")


class Room:
    """Lets so many calls be at work side by side, or one with nothing beside it.

    That one goes before all that wait.
    """

    def __init__(self, jobs: int):
        self._jobs, self._lone = asyncio.Semaphore(jobs), asyncio.Lock()
        self._open, self._empty = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._empty.set()
        self._inside = 0

    @contextlib.asynccontextmanager
    async def beside_others(self) -> AsyncIterator[None]:
        """Held by a call at work beside others."""
        async with self._jobs:
            while not self._open.is_set():
                await self._open.wait()
            self._inside += 1
            self._empty.clear()
            try:
                yield
            finally:
                self._inside -= 1
                if not self._inside:
                    self._empty.set()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Held by a call that has nothing beside it."""
        async with self._lone:
            self._open.clear()
            try:
                await self._empty.wait()
                yield
            finally:
                self._open.set()


def serve(folder: Path, run: locks.Run, pipe: Connection) -> None:
    """In the process: do what comes, until nobody is there to send anything."""
    processes.end_with(run.pid)
    locks.hold_for(run)
    processes.quiet_libraries()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # many at once would be drawn
    turn = threading.Lock()  # a step has threads that tell as well

    def tell(*message: Any) -> None:
        with turn, contextlib.suppress(OSError):
            pipe.send(message)

    tell("begun")
    memo, start = Memo(folder), machine.anonymous_bytes()
    progress.say_to(lambda line: tell("say", line))
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        progress.send_to(lambda *how_far, label=call.label: tell("advanced", label, *how_far))
        done, failure = _outcome(memo, call)
        progress.send_to(None)
        _give_back_memory()
        grown = machine.anonymous_bytes() - start
        tell("ended", grown > processes.GROWTH_BYTES, done, failure)


def _outcome(memo: Memo, call: Call) -> tuple[Done | None, AnalysisError | LostError | None]:
    """What came of it; or the error, with a note of where it happened."""
    gauge = Gauge()
    try:
        return (memo.run(call), gauge.peak()), None
    except MemoryError as error:  # one that measures and was killed ends so too
        return None, ShortOfMemoryError(
            f"not enough memory ({one_line(str(error)) or 'none was left'})"
        )
    except Exception as error:
        failure = explained(call, error, memo.folder)
        failure.add_note(traceback.format_exc())  # for --debug
        return None, failure


def explained(call: Call, error: Exception, cache: Path) -> AnalysisError:
    """The error as the line that a person is told behind the step's label; a MachineError if no
    other step would fare better (a full disk, a cache that cannot be written), which ends the run
    and so names the step itself."""
    if isinstance(error, AnalysisError):
        return error
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return RunError(
            "not enough of the GPU's memory is free; take smaller batches, `compute: device: cpu`,"
            " or end what else is on that GPU"
        )
    if isinstance(error, OSError) or _NUMBERED.search(str(error)):
        said = f"{error}; run again when that is mended"
        of_machine = _is_of_machine(error, cache)
        return MachineError(f"{call.label}: {said}") if of_machine else RunError(said)
    return RunError(f"unexpected {type(error).__name__}: {error}")


def _is_of_machine(error: Exception, cache: Path) -> bool:
    named = _NUMBERED.search(str(error))
    number = int(named[1]) if named else getattr(error, "errno", None)
    if number in _NO_ROOM:
        return True
    path = getattr(error, "filename", None)
    inside = isinstance(path, str) and Path(path).absolute().is_relative_to(cache.absolute())
    return number in _NO_RIGHT and inside


def _give_back_memory() -> None:
    """What this process keeps for later, another step's process cannot have."""
    machine.give_back_freed_memory()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
