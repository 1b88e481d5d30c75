"""Scores drawn once and compared often give what drawing them for each comparison gives."""

import fake
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import scores, study
from analysis.scoring.intervals import (
    Drawn,
    compare,
    compare_drawn,
    difference,
    drawn,
    resample_counts,
    retained_drawn,
)
from analysis.scoring.statistics import METRICS, retained
from analysis.variants import Scored, Variant

EXAMPLES = 30
CHANCE = {"accuracy": 0.4, "f1": 0.3, "perplexity": 50.0}
every_metric = pytest.mark.parametrize("name", METRICS)


@pytest.fixture(autouse=True)
def nothing_drawn():
    scores._drawn_once.cache_clear()
    yield
    scores._drawn_once.cache_clear()


def rows_of(name, seed, examples=EXAMPLES):
    generator = np.random.default_rng(seed)
    return generator.integers(1, 9, (examples, len(METRICS[name].columns))).astype(float)


def chosen(resamples=120, confidence=0.9):
    bootstrap = {"resamples": resamples, "confidence": confidence}
    return study.Study(**fake.STUDIES["one"], title="x", name="x", bootstrap=bootstrap)


def scored(name, seed, examples=EXAMPLES):
    found = {m: {"value": 0.5, "rows": rows_of(m, seed, examples).tolist()} for m in CHANCE}
    record = {
        "metrics": found,
        "examples": examples,
        "collapsed": False,
        "tokens_per_word": 1.0,
        "sample": [],
    }
    variant = Variant(name, "tiny-bert", "sentiment", 0, "c", "w", 1, 1, 1.0, sparsity=0.5)
    return Scored(variant, {}, record)


# ---------------------------------------------------------------- intervals


@every_metric
def test_what_is_drawn_is_the_score_of_each_resample(name):
    metric, rows = METRICS[name], rows_of(name, 0)
    counts = resample_counts(EXAMPLES, 20, seed=1)
    found = drawn(metric, rows, counts)
    assert found.value == metric.value(rows.sum(axis=0))
    for value, times in zip(found.resamples, counts.astype(int), strict=True):
        assert value == pytest.approx(metric.value(np.repeat(rows, times, axis=0).sum(axis=0)))


@settings(max_examples=30)
@given(st.sampled_from(sorted(METRICS)), st.integers(0, 99), st.floats(0.01, 0.9))
def test_drawn_once_or_for_the_comparison_is_all_the_same(name, seed, chance):
    metric, counts = METRICS[name], resample_counts(EXAMPLES, 60, seed=0)
    rows, dense = rows_of(name, seed), rows_of(name, seed + 100)
    one, whole = drawn(metric, rows, counts), drawn(metric, dense, counts)
    found = compare_drawn(metric, one, whole, chance, 0.9)
    assert repr(found) == repr(compare(metric, rows, dense, counts, chance, 0.9))  # NaN as well
    assert repr(found.delta) == repr(difference(one, whole, 0.9))
    kept = retained_drawn(metric, one, whole, chance)
    plain = np.asarray(retained(metric, one.resamples, whole.resamples, chance))
    np.testing.assert_array_equal(kept.resamples, np.maximum(plain, 0))


def test_nothing_is_retained_below_chance():
    below, whole = Drawn(0.2, np.array([0.1, 0.5])), Drawn(0.9, np.array([0.9, 0.9]))
    kept = retained_drawn(METRICS["accuracy"], below, whole, 0.5)
    assert kept.value == 0
    assert kept.resamples.tolist() == [0, 0]


# ---------------------------------------------------------------- rows


def rows_alone(group, settings):
    """The rows with nothing remembered from one to the next."""
    listed = []
    for one in group:
        scores._drawn_once.cache_clear()
        dense = group[0].evaluation
        listed += scores.quality_rows(settings, one, "sentiment", CHANCE, dense)
    scores._drawn_once.cache_clear()
    return listed, scores.contest_rows(settings, group, "sentiment", CHANCE)


def rows_together(group, settings):
    dense = group[0].evaluation
    quality = [
        row
        for one in group
        for row in scores.quality_rows(settings, one, "sentiment", CHANCE, dense)
    ]
    return quality, scores.contest_rows(settings, group, "sentiment", CHANCE)


def test_rows_are_the_same_whatever_was_drawn_before():
    group = [scored(f"v{i}", i) for i in range(5)]
    settings = chosen()
    assert rows_together(group, settings) == rows_alone(group, settings)


def test_each_score_is_drawn_once():
    group = [scored(f"v{i}", i) for i in range(5)]
    rows_together(group, chosen())
    assert scores._drawn_once.cache_info().misses == len(group) * len(CHANCE)


def test_other_resamples_other_examples_and_other_metrics_are_not_mistaken():
    first, longer = [scored("a", 1), scored("b", 2)], [scored("a", 1, 40), scored("b", 2, 40)]
    cases = [(g, chosen(r)) for g in (first, longer) for r in (120, 150)]
    together = [rows_together(*case) for case in cases]
    assert together == [rows_alone(*case) for case in cases]
    bounds = [quality[3]["low"] for quality, _ in together]
    assert len(set(bounds)) == len(cases)


def test_examples_that_are_not_the_dense_models_are_refused():
    group = [scored("dense", 0), scored("a", 1, 40)]
    with pytest.raises(ValueError, match="30"):
        rows_together(group, chosen())
