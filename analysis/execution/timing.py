"""Timing that can be believed: warmed up, interleaved, every raw sample kept."""

import random
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Cell = TypeVar("Cell", bound=Hashable)


@dataclass(frozen=True)
class Schedule:
    """How long to measure a cell.

    Warm up for `warmup_runs` or `warmup_seconds`, whichever is less (one run at least). Then
    `min_runs` runs and `min_seconds`, but no longer than `max_seconds` and never under 3 runs.
    """

    warmup_runs: int = 10
    warmup_seconds: float = 5.0
    min_runs: int = 10
    min_seconds: float = 1.0
    max_seconds: float = 60.0

    FEWEST = 3

    def done(self, samples: list[float]) -> bool:
        """Whether a cell with these samples (seconds) has been measured enough."""
        spent = sum(samples)
        if len(samples) < self.FEWEST:
            return False
        enough = len(samples) >= self.min_runs and spent >= self.min_seconds
        return enough or spent >= self.max_seconds


def interleaved_samples(
    cells: Mapping[Cell, Callable[[], object]],
    schedule: Schedule,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Cell, list[float]]:
    """Seconds of each run of each cell.

    The cells take turns, in another order each time: a slow minute of the machine falls on all of
    them, and none always comes after the same one. A cell that has been measured enough sits out.
    """
    for run in cells.values():
        _warm_up(run, schedule, clock)
    samples: dict[Cell, list[float]] = {cell: [] for cell in cells}
    order = random.Random(0)
    while waiting := [cell for cell in cells if not schedule.done(samples[cell])]:
        order.shuffle(waiting)
        for cell in waiting:
            start = clock()
            cells[cell]()
            samples[cell].append(clock() - start)
    return samples


def _warm_up(run: Callable[[], object], schedule: Schedule, clock: Callable[[], float]) -> None:
    start = clock()
    for _ in range(max(1, schedule.warmup_runs)):
        run()
        if clock() - start >= schedule.warmup_seconds:
            return
