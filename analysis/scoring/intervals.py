"""Bootstrap intervals, paired against the dense model (Efron & Tibshirani 1993; Koehn 2004)."""

from dataclasses import dataclass

import numpy as np

from analysis.scoring.statistics import Metric, Rows, retained


@dataclass(frozen=True)
class Interval:
    """A value and the percentile bounds of its bootstrap distribution."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A variant's score on one metric, its difference from the dense model, what is retained."""

    score: Interval
    delta: Interval
    retained: Interval


def resample_counts(examples: int, resamples: int, seed: int) -> Rows:
    """How often each resample draws each example, [resamples, examples]; each row sums to examples.

    One such table serves all variants of a task: that is what pairs them.
    """
    generator = np.random.default_rng(seed)
    uniform = np.full(examples, 1 / examples)
    return generator.multinomial(examples, uniform, size=resamples).astype(np.float64)


def compare(
    metric: Metric, rows: Rows, dense_rows: Rows, counts: Rows, chance: float, confidence: float
) -> Comparison:
    """The variant against the dense model on the same examples.

    rows, dense_rows   per-example statistics [examples, columns]
    counts             from resample_counts, [resamples, examples]
    """
    if rows.shape != dense_rows.shape or counts.shape[1] != len(rows):
        raise ValueError(
            f"rows {rows.shape}, dense {dense_rows.shape} and counts {counts.shape} do not fit"
        )
    value, dense = metric.value(rows.sum(axis=0)), metric.value(dense_rows.sum(axis=0))
    drawn, dense_drawn = metric.value(counts @ rows), metric.value(counts @ dense_rows)
    return Comparison(
        score=_interval(value, drawn, confidence),
        delta=_interval(value - dense, drawn - dense_drawn, confidence),
        retained=_interval(
            retained(metric, value, dense, chance),
            retained(metric, drawn, dense_drawn, chance),
            confidence,
        ),
    )


@dataclass(frozen=True)
class Drawn:
    """What is retained of a score: its value, and in every resample, (resamples,)."""

    value: float
    resamples: Rows


def retained_drawn(
    metric: Metric, rows: Rows, dense_rows: Rows, counts: Rows, chance: float
) -> Drawn:
    """What a variant retains, on the resamples in which others of its task are drawn too.

    Below chance nothing is retained: two models that have died are alike.
    """
    value, dense = metric.value(rows.sum(axis=0)), metric.value(dense_rows.sum(axis=0))
    drawn, dense_drawn = metric.value(counts @ rows), metric.value(counts @ dense_rows)
    return Drawn(
        float(np.maximum(retained(metric, value, dense, chance), 0)),
        np.maximum(retained(metric, drawn, dense_drawn, chance), 0),
    )


def difference(one: Drawn, other: Drawn, confidence: float) -> Interval:
    """What one variant retains more than another, paired by resample."""
    return _interval(one.value - other.value, one.resamples - other.resamples, confidence)


def _interval(value: Rows | float, drawn: Rows, confidence: float) -> Interval:
    """Percentile bounds; NaN bounds where the metric is undefined in any resample."""
    if not np.isfinite(value):
        return Interval(float(value), float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high))
