"""Paired bootstrap intervals: sums by one matrix product beside resampling in a loop."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from analysis.scoring.intervals import compare, resample_counts
from analysis.scoring.statistics import METRICS

_EXAMPLES, _RESAMPLES = 512, 2000


def measure() -> Iterator[dict]:
    """Seconds of one corpus-BLEU comparison of two systems, the resamples drawn beforehand."""
    generator = np.random.default_rng(0)
    totals = np.tile([8.0, 8.0], (_EXAMPLES, 1))
    rows, dense = (
        np.hstack([totals, generator.integers(1, 6, (_EXAMPLES, 4)), np.full((_EXAMPLES, 4), 6.0)])
        for _ in range(2)
    )
    metric = METRICS["bleu"]
    counts = resample_counts(_EXAMPLES, _RESAMPLES, seed=0)

    def ours() -> float:
        return compare(metric, rows, dense, counts, 0.0, 0.95).delta.low

    drawn = [np.repeat(np.arange(_EXAMPLES), row.astype(int)) for row in counts]

    def peer() -> float:
        deltas = [metric.value(rows[i].sum(0)) - metric.value(dense[i].sum(0)) for i in drawn]
        return float(np.quantile(deltas, 0.025))

    if not np.isclose(ours(), peer()):
        raise AssertionError("the two intervals differ")
    yield {"name": "paired-bootstrap", "ours": _seconds(ours), "peer": _seconds(peer), "unit": "s"}


def _seconds(run: Callable[[], float], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
