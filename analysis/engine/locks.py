"""Locks between processes whose holders have names: who has to wait says for whom."""

import contextlib
import functools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from analysis.engine import processes, progress, project

_NOTE = ".held-"
_SECONDS_BEFORE_A_WORD = 1.5
_SECONDS_BETWEEN_LOOKS = 3.0


@dataclass(frozen=True)
class Run:
    """A command at work, for which locks are held: by its own process or by its workers."""

    pid: int
    host: str
    command: str
    study: str
    folder: str
    since: str  # as clocks show it

    def __str__(self) -> str:
        where = "" if self.host == processes.host() else f" on {self.host}"
        return (
            f"process {self.pid}{where} ({self.command}, study {self.study}, in {self.folder},"
            f" since {self.since})"
        )


def this_process() -> Run:
    """The command that this process is."""
    return _described(os.getpid())


@functools.cache
def _described(pid: int) -> Run:
    name, *arguments = sys.argv
    program = "python -m analysis" if Path(name).name == "__main__.py" else name
    return Run(
        pid,
        processes.host(),
        " ".join([program, *arguments]),
        os.environ.get(project.STUDY_VARIABLE) or project.DEFAULT_STUDY,
        os.getcwd(),
        time.strftime("%Y-%m-%d %H:%M:%S"),
    )


_run: Run | None = None


def hold_for(run: Run) -> None:
    """This process works for that command: what it locks is locked for that."""
    global _run
    _run = run


@contextlib.contextmanager
def holding(lock: Path) -> Iterator[None]:
    """This thread holds the lock of that name, as those who wait for it are told.

    What is told stands beside `lock`, which need be no file itself, if it can be written there.
    """
    tag = f"{processes.process_tag()}-{threading.get_ident()}"
    note = lock.with_name(f"{lock.name}{_NOTE}{tag}")
    with contextlib.suppress(OSError):
        note.write_text(json.dumps(asdict(_run or this_process())), encoding="utf-8")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink()


@contextlib.contextmanager
def awaited(lock: Path, what: str) -> Iterator[None]:
    """The block gets the lock of that name: if that takes more than a moment, `what` is said to
    wait, for whom, and to go on."""
    over = threading.Event()

    def watch() -> None:
        said, pause = "", _SECONDS_BEFORE_A_WORD
        while not over.wait(pause):
            found = holders(lock)
            if found and found != said:
                progress.say(f"  {what}: waiting for {found}")
                said = found
            pause = _SECONDS_BETWEEN_LOOKS
        if said:
            progress.say(f"  {what}: goes on")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def sweep(folder: Path, begins: str = "") -> None:
    """Remove what killed holders of locks, whose names begin so, left in the folder."""
    for note in folder.glob(f"{begins}*{_NOTE}*"):
        if processes.is_left(note.name):
            note.unlink(missing_ok=True)


def holders(lock: Path) -> str:
    """Who holds the lock, and what to do about those that are stopped; empty for this very run."""
    found: dict[str, None] = {}
    for note in sorted(lock.parent.glob(f"{lock.name}{_NOTE}*")):
        try:
            run = Run(**json.loads(note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue  # it is being written, or gone
        if processes.is_left(note.name):
            continue
        found[str(run) + _advice(run, processes.tagged(note.name))] = None
        if run == (_run or this_process()):
            return ""
    return "; ".join(found) or "a process that left no name"


def _advice(run: Run, holder: int | None) -> str:
    """What to do about a run that has been stopped, it or the process that holds the lock."""
    if holder is None or not (processes.is_stopped(run.pid) or processes.is_stopped(holder)):
        return ""
    return (
        f", which is stopped: `fg` in its terminal, or `kill -CONT {run.pid} {holder}`, lets it go"
        f" on, `kill -KILL {run.pid}` ends it"
    )
