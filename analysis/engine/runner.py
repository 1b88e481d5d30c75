"""Runs calls as their inputs become ready: on worker processes, or alone when they take time.

The main process looks results up and imports none of what computes them.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from analysis.engine import stopping
from analysis.engine.display import Display
from analysis.engine.memo import Call, Memo, Outcome, Record
from analysis.engine.memory import Needs
from analysis.engine.objects import DamagedError
from analysis.engine.workers import Done, LostError, Room, ShortOfMemoryError, Worker
from analysis.errors import AnalysisError, MachineError, RunError

_LESS_MEMORY = (
    ". A smaller model, batch or `compute: memory_gb` may do, or a machine with more memory"
)


@dataclass
class Tally:
    """What a run did for one kind of step: seconds spent now, and when it was remembered."""

    computed: int = 0
    repaired: int = 0
    remembered: int = 0
    seconds: float = 0.0
    remembered_seconds: float = 0.0


class Runs(Protocol):
    """What a study's steps are handed to: a runner, or something that only looks."""

    failures: dict[str, str]

    async def run(self, call: Call) -> Record:
        """The record of the call."""

    async def attempt(self, call: Call) -> tuple[Record, None] | tuple[None, str]:
        """The record, or why there is none."""


async def all_of(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """The results in order, computed side by side."""
    return list(await asyncio.gather(*work))


@dataclass
class Runner:
    """Runs calls over one memo, at most `jobs` at a time.

    `await runner.run(call)` gives the record. `tallies` says afterwards what was done, by step,
    `failures` why what failed did, by label, and `needs` the most memory that a step held.
    """

    memo: Memo
    jobs: int
    display: Display
    tallies: dict[str, Tally] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)
    _had: list[Call] = field(default_factory=list)
    _workers: set[Worker] = field(default_factory=set)
    _idle: list[Worker] = field(default_factory=list)
    _gpu: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._room = Room(self.jobs)

    async def run(self, call: Call) -> Record:
        """The record of the call, remembered or computed: on a worker, or in a fresh process.

        Raises MachineError where no other call could do better, another AnalysisError where this
        one failed.
        """
        try:
            return (await self._outcome(call)).record
        except AnalysisError as error:
            if call.label not in self.failures and not isinstance(error, MachineError):
                self.display.say(f"  FAILED {call.label}: {error}")
            self.failures[call.label] = str(error)
            raise

    async def attempt(self, call: Call) -> tuple[Record, None] | tuple[None, str]:
        """The record, or why there is none: nothing else of the run is lost by that.

        Raises MachineError where no other call could do better.
        """
        try:
            return await self.run(call), None
        except MachineError:
            raise
        except AnalysisError as error:
            return None, str(error)

    async def _outcome(self, call: Call) -> Outcome:
        outcome = self.memo.lookup(call)
        if outcome is None:
            if self.memo.has_entry(call):
                self._say_damaged(call)
            outcome = await self._mending(call)
            self.display.finished(call.label, outcome.seconds)
        self._had.append(call)
        tally = self.tallies.setdefault(call.step, Tally())
        setattr(tally, outcome.how, getattr(tally, outcome.how) + 1)
        if outcome.how == "remembered":
            tally.remembered_seconds += outcome.seconds
        else:
            tally.seconds += outcome.seconds
        return outcome

    async def _mending(self, call: Call) -> Outcome:
        """What comes of a call; an object that proves damaged when it is read is made again."""
        found: set[Path] = set()
        while True:
            try:
                # one at a time, so that the other workers take what runs on the processor meanwhile
                async with self._gpu if call.on_gpu else contextlib.nullcontext():
                    return await self._compute(call)
            except DamagedError as error:
                if error.path in found:
                    raise
                found.add(error.path)
                for maker in [had for had in self._had if self.memo.lookup(had) is None]:
                    self._say_damaged(maker)
                    await self._mending(maker)

    def _say_damaged(self, call: Call) -> None:
        self.display.say(f"damaged in the cache, computing again: {call.label}")

    async def _compute(self, call: Call) -> Outcome:
        try:
            async with self._room.beside_others():
                outcome, peak = await self._on_a_worker(call)
        except LostError as error:
            self.display.say(f"  {call.label}: {error}; once more, with nothing beside it")
            outcome, peak = await self._once_more(call)
        self.needs.note(call.label, peak)
        return outcome

    async def _on_a_worker(self, call: Call) -> Done:
        worker = self._fresh() if call.fresh else self._free()
        try:
            return await worker.do(call)
        finally:
            if call.fresh or not worker.is_free:
                self._end(worker)
            else:
                self._idle.append(worker)

    async def _once_more(self, call: Call) -> Done:
        """With the whole machine's memory. Raises RunError if it is lost again."""
        async with self._room.alone():
            self.close()
            try:
                return await self._on_a_worker(call)
            except LostError as error:
                advice = _LESS_MEMORY if isinstance(error, ShortOfMemoryError) else ""
                raise RunError(f"{error}; and so the time before{advice}") from error

    def _free(self) -> Worker:
        """A worker that has nothing to do, a new one if there is none."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_free:
                return worker
            self._end(worker)
        return self._fresh()

    def _fresh(self) -> Worker:
        worker = Worker(self.memo.folder, self._said)
        self._workers.add(worker)
        return worker

    def _said(self, what: str, *told: Any) -> None:
        getattr(self.display, what)(*told)

    def _end(self, worker: Worker) -> None:
        self._workers.discard(worker)
        worker.end()

    def close(self) -> None:
        """Stop the workers at once; what they had finished is remembered."""
        self._idle.clear()
        for worker in list(self._workers):
            self._end(worker)


def complete(runner: Runner, work: Coroutine[Any, Any, Any]) -> Any:
    """The work's result; the runner is closed whatever happens."""

    async def heeding_signals() -> Any:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        with stopping.calling(lambda: loop.call_soon_threadsafe(task.cancel)):
            return await work

    try:
        return asyncio.run(heeding_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        runner.close()
