"""Which of several ways to compute the same is fastest: measured until the order is settled.

Other processes only ever add time, so what counts is each way's fastest runs: the smallest time,
and the one that a quarter of the runs stayed below. What lies between the two is not known, and
only what does not overlap is told apart.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.execution.timing import Schedule, interleaved_samples

# of the time of the first, which has to be clearly beaten, and of any other, for which an earlier
# one that is hardly slower does as well
MARGIN = 0.8
ALIKE = 0.9
_FIRST = Schedule(warmup_runs=2, min_runs=6, min_seconds=0.003, max_seconds=1.0)
_AGAIN = Schedule(warmup_runs=1, min_runs=14, min_seconds=0.003, max_seconds=1.0)
_ROUNDS = 4  # more of them than the first, at most
_QUIET = 1.3  # times the fastest run: if none takes longer, few runs say enough
_ENOUGH = 20  # runs, where some did


@dataclass(frozen=True)
class Times:
    """The seconds of a way's fastest run, and of the slowest of the fastest quarter of its runs."""

    low: float
    high: float


def decide(times: Mapping[str, Times]) -> tuple[str, bool]:
    """The fastest that can be told from those before it, and whether the order is settled.

    The first is taken unless another surely takes less than MARGIN of its time; of the others an
    earlier one unless a later surely takes less than ALIKE of it. It is not settled where what was
    not taken may be faster by as much.
    """
    first, *others = times
    best = first
    for name in others:
        if times[name].high < _margin(best, first) * times[best].low:
            best = name
    bar = _margin(best, first) * times[best].high
    return best, all(times[name].low >= bar for name in times if name != best)


def measure(
    runs: Mapping[str, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, Times]:
    """The times of each, taking turns, until `decide` finds them settled or _ROUNDS are over."""
    samples = interleaved_samples(runs, _FIRST, clock)
    for _ in range(_ROUNDS):
        if _say_enough(samples) and decide(_times(samples))[1]:
            break
        for name, more in interleaved_samples(runs, _AGAIN, clock).items():
            samples[name] += more
    return _times(samples)


def _margin(best: str, first: str) -> float:
    return MARGIN if best == first else ALIKE


def _times(samples: Mapping[str, Sequence[float]]) -> dict[str, Times]:
    found = {name: sorted(seconds) for name, seconds in samples.items()}
    return {name: Times(s[0], s[(len(s) - 1) // 4]) for name, s in found.items()}


def _say_enough(samples: Mapping[str, Sequence[float]]) -> bool:
    """Whether none was disturbed, or each ran so often that some of its runs were not."""
    found = samples.values()
    quiet = all(max(seconds) <= _QUIET * min(seconds) for seconds in found)
    return quiet or all(len(seconds) >= _ENOUGH for seconds in found)
