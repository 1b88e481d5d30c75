"""What a person sees of a run: bars in a terminal, plain flushed lines elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BEFORE_FIRST = 1.0


class Display(AbstractContextManager["Display"]):
    """Plain lines, one for each finished step, and how far the running ones are now and then."""

    def __init__(self, stream: TextIO = sys.stdout):
        self._stream = stream
        self._said: dict[str, float] = {}
        self._watched = True

    def say(self, line: str) -> None:
        """Print one line now; nothing any more once nobody reads (`… | head`): the work goes on."""
        if not self._watched:
            return
        try:
            self._print(line)
        except OSError:
            self._watched = False

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def advanced(self, label: str, what: str, done: int, total: int) -> None:
        """A step has come this far."""
        now = time.monotonic()
        first = now + _SECONDS_BEFORE_FIRST - _SECONDS_BETWEEN_LINES
        if now - self._said.setdefault(label, first) >= _SECONDS_BETWEEN_LINES:
            self._said[label] = now
            self.say(f"  {label}: {what} {done} of {total}")

    def cleared(self, label: str) -> None:
        """A step reports no more."""
        self._said.pop(label, None)

    def finished(self, label: str, seconds: float) -> None:
        """A step has been computed."""
        self.cleared(label)
        self.say(f"  {label} ({seconds:.1f} s)")

    def __exit__(self, *_: object) -> None:
        return None


class BarDisplay(Display):
    """The same in a terminal: a bar for each running step, finished ones scroll above."""

    def __init__(self, stream: TextIO = sys.stdout):
        super().__init__(stream)
        self._progress = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=Console(file=stream),
            transient=True,
        )
        self._bars: dict[str, TaskID] = {}
        self._progress.start()

    def _print(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False)

    def advanced(self, label: str, what: str, done: int, total: int) -> None:
        description = f"{label}: {what}"
        if label not in self._bars:
            self._bars[label] = self._progress.add_task(description, total=total)
        self._progress.update(
            self._bars[label], description=description, completed=done, total=total
        )

    def cleared(self, label: str) -> None:
        if label in self._bars:
            self._progress.remove_task(self._bars.pop(label))
        super().cleared(label)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def display(stream: TextIO | None = None) -> Display:
    """Bars where somebody watches a terminal, else plain lines; by default on stdout."""
    stream = sys.stdout if stream is None else stream
    return BarDisplay(stream) if stream.isatty() else Display(stream)
