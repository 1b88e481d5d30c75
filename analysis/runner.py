"""Runs calls as their inputs become ready: on worker processes, or alone when they take time.

The main process looks results up and imports none of what computes them.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import queue
import sys
import threading
import warnings
from collections.abc import Coroutine
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from joblib.externals.loky import get_reusable_executor, process_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from safetensors import SafetensorError

from analysis import machine, processes, progress
from analysis.display import Display
from analysis.errors import AnalysisError, MachineError, RunError
from analysis.memo import Call, Memo, Outcome, Record
from analysis.needs import Gauge, Needs, Peak
from analysis.objects import DamagedError

_memo: Memo | None = None
_reports: Any = None


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
    _executor: Any = None
    _one_off: ProcessPoolExecutor | None = None
    _reports: Any = None
    _manager: Any = None
    _gpu: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        # multiprocessing's tracker counts what killed workers left: true, and no news to a user
        os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
        # a worker that has grown beyond what it keeps on purpose is replaced, and joblib warns
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)

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
        loop = asyncio.get_running_loop()
        executor = self._fresh() if call.fresh else self._workers()
        try:
            outcome, peak = await loop.run_in_executor(executor, _work, call)
        except AnalysisError:
            raise
        except (BrokenProcessPool, TerminatedWorkerError) as error:
            self._executor = self._one_off = None
            # of several at work, each is told that a worker died, and not whose it was
            kind = RunError if self.jobs == 1 else MachineError
            raise kind(
                f"a worker process died during {call.label!r}: most often too little memory; run"
                " again (what is finished is kept) with fewer `compute: jobs`"
            ) from error
        except (OSError, SafetensorError) as error:
            # what the system refuses has a number; a library's own complaint has none
            kind = MachineError if getattr(error, "errno", None) else RunError
            raise kind(f"{call.label}: {error}; run again when that is mended") from error
        except Exception as error:
            raise RunError(f"{call.label}: unexpected {type(error).__name__}: {error}") from error
        self.needs.note(call.label, peak)
        return outcome

    def _workers(self) -> Executor:
        if self._executor is None:
            self._executor = get_reusable_executor(
                max_workers=self.jobs,
                timeout=600,
                initializer=_start_worker,
                initargs=(self.memo.folder, self._report_queue()),
            )
        return self._executor

    def _fresh(self) -> Executor:
        if self._one_off is None:
            self._one_off = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self.memo.folder, self._report_queue()),
                max_tasks_per_child=1,
            )
        return self._one_off

    def _report_queue(self) -> Any:
        if self._manager is None:
            self._manager = multiprocessing.get_context("spawn").Manager()
            self._reports = self._manager.Queue()
            threading.Thread(target=self._listen, daemon=True).start()
        return self._reports

    def _listen(self) -> None:
        while True:
            try:
                report = self._reports.get()
            except (EOFError, OSError, queue.Empty):
                return
            if report is None:
                return
            self.display.advanced(*report)

    def close(self) -> None:
        """Stop the workers at once; what they had finished is remembered."""
        threading.excepthook = lambda _: None  # the last words of killed workers' threads
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
        if self._one_off is not None:
            self._one_off.shutdown(wait=False, cancel_futures=True)
        if self._manager is not None:
            self._reports.put(None)
            self._manager.shutdown()
        for child in multiprocessing.active_children():
            child.terminate()  # loky forgets a worker that is just starting; exit would wait


def complete(runner: Runner, work: Coroutine[Any, Any, Any]) -> Any:
    """The work's result; the runner is closed whatever happens."""
    try:
        return asyncio.run(work)
    finally:
        runner.close()


def _start_worker(folder: Path, reports: Any) -> None:
    global _memo, _reports
    processes.quiet_libraries()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # many at once would be drawn
    # joblib takes growth by 300 MB for a leak; opened models and libraries are that growth, and a
    # new worker imports them all again. It has no public setting.
    process_executor._MAX_MEMORY_LEAK_SIZE = processes.GROWTH_BYTES
    _memo, _reports = Memo(folder), reports


def _work(call: Call) -> tuple[Outcome, Peak]:
    """In the worker: compute the call, its progress going to the main process."""
    assert _memo is not None
    gauge = Gauge()
    progress.send_to(lambda what, done, total: _reports.put((call.label, what, done, total)))
    try:
        return _memo.run(call), gauge.peak()
    finally:
        progress.send_to(None)
        machine.give_back_freed_memory()
        _give_back_gpu_memory()


def _give_back_gpu_memory() -> None:
    """What this process keeps for later, another step's process cannot have."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
