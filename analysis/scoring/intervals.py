"""Bootstrap intervals, paired against the dense model (Efron & Tibshirani 1993; Koehn 2004)."""

from dataclasses import dataclass

import numpy as np

from analysis.scoring.statistics import Metric, Numbers, retained


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


def resample_counts(examples: int, resamples: int, seed: int) -> Numbers:
    """How often each resample draws each example, [resamples, examples]; each row sums to examples.

    One such table serves all variants of a task: that is what pairs them.
    """
    generator = np.random.default_rng(seed)
    uniform = np.full(examples, 1 / examples)
    return generator.multinomial(examples, uniform, size=resamples).astype(np.float64)


@dataclass(frozen=True)
class Drawn:
    """A number on all examples, and on every resample of them, (resamples,)."""

    value: float
    resamples: Numbers


def drawn(metric: Metric, rows: Numbers, counts: Numbers) -> Drawn:
    """A model's score, drawn once for all that it is compared with.

    rows     per-example statistics [examples, columns]
    counts   from resample_counts, [resamples, examples]
    """
    return Drawn(float(metric.value(rows.sum(axis=0))), metric.value(counts @ rows))


def compare_drawn(
    metric: Metric, score: Drawn, dense: Drawn, chance: float, confidence: float
) -> Comparison:
    """The variant's score against the dense model's, drawn with the same counts."""
    return Comparison(
        score=_interval(score.value, score.resamples, confidence),
        delta=difference(score, dense, confidence),
        retained=_interval(
            retained(metric, score.value, dense.value, chance),
            retained(metric, score.resamples, dense.resamples, chance),
            confidence,
        ),
    )


def retained_drawn(metric: Metric, score: Drawn, dense: Drawn, chance: float) -> Drawn:
    """What a variant retains, its score and the dense model's drawn with the same counts.

    Below chance nothing is retained: two models that have died are alike.
    """
    return Drawn(
        float(np.maximum(retained(metric, score.value, dense.value, chance), 0)),
        np.maximum(retained(metric, score.resamples, dense.resamples, chance), 0),
    )


def difference(one: Drawn, other: Drawn, confidence: float) -> Interval:
    """How much more the one is than the other, paired by resample."""
    return _interval(one.value - other.value, one.resamples - other.resamples, confidence)


def interval(score: Drawn, confidence: float) -> Interval:
    """The score with the percentile bounds of its resamples."""
    return _interval(score.value, score.resamples, confidence)


def _interval(value: Numbers | float, drawn: Numbers, confidence: float) -> Interval:
    """Percentile bounds of a number that some resamples may leave undefined (NaN).

    What a variant retains is undefined where the dense model is not above chance. Such a resample
    might have said anything, so that it counts as below the lower bound and as above the upper one:
    left out, it would make the interval too narrow, and one alone must not void it. A bound that
    would lie among those is NaN; of a dense model above chance beyond its own interval (`is_void`)
    none does.
    """
    if not np.isfinite(value):
        return Interval(float(value), float("nan"), float("nan"))
    known = drawn[~np.isnan(drawn)]
    outside = (1 - confidence) / 2 * (drawn.size - 1)  # resamples, beyond either bound
    beyond = outside - (drawn.size - known.size)
    if beyond <= -1 or not known.size:  # quantiles lie between two resamples: one of them is known
        return Interval(float(value), float("nan"), float("nan"))
    share = max(0.0, beyond) / max(1, known.size - 1)
    low, high = np.quantile(known, [share, 1 - share])
    return Interval(float(value), float(low), float(high))
