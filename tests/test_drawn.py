"""Scores drawn once and compared often give what drawing them for each comparison gives."""

import itertools

import fake
import numpy as np
import pytest

from analysis import scores, study
from analysis.scoring.intervals import Drawn, drawn, resample_counts, retained_drawn
from analysis.scoring.statistics import METRICS, retained
from analysis.variants import Scored, Variant

CHANCE = {"accuracy": 0.4, "f1": 0.3, "perplexity": 50.0}


def rows_of(name, seed, examples=30):
    generator = np.random.default_rng(seed)
    return generator.integers(1, 9, (examples, len(METRICS[name].columns))).astype(float)


def scored(seed, examples=30):
    found = {m: {"value": 0.5, "rows": rows_of(m, seed, examples).tolist()} for m in CHANCE}
    record = {"metrics": found, "examples": examples, "collapsed": False, "tokens_per_word": 1.0}
    variant = Variant(f"v{seed}", "tiny-bert", "sentiment", 0, "c", "w", 1, 1, 1.0, sparsity=0.5)
    return Scored(variant, {}, record | {"sample": []})


def found_rows(group, resamples):
    """The rows of qualities and of contests; the group's first is the dense model."""
    bootstrap = {"resamples": resamples, "confidence": 0.9}
    settings = study.Study(**fake.STUDIES["one"], title="x", name="x", bootstrap=bootstrap)
    dense = group[0].evaluation
    found = [scores.quality_rows(settings, one, "sentiment", CHANCE, dense) for one in group]
    return itertools.chain(*found), scores.contest_rows(settings, group, "sentiment", CHANCE)


def plainly(name, seed, examples, resamples):
    """The score on each resample, each of its examples taken as often as it was drawn."""
    counts = resample_counts(examples, resamples, seed=0).astype(int)
    rows = rows_of(name, seed, examples)
    sums = [np.repeat(rows, times, axis=0).sum(axis=0) for times in counts]
    return np.array([METRICS[name].value(one) for one in sums])


def test_what_is_drawn_is_the_score_of_each_resample():
    for name, metric in METRICS.items():
        found = drawn(metric, rows_of(name, 0), resample_counts(30, 20, seed=0))
        assert found.value == metric.value(rows_of(name, 0).sum(axis=0)), name
        np.testing.assert_allclose(found.resamples, plainly(name, 0, 30, 20), err_msg=name)


def test_nothing_is_retained_below_chance():
    below, whole = Drawn(0.2, np.array([0.1, 0.5])), Drawn(0.9, np.array([0.9, 0.9]))
    kept = retained_drawn(METRICS["accuracy"], below, whole, 0.5)
    assert (kept.value, kept.resamples.tolist()) == (0, [0, 0])


def test_rows_are_the_same_whatever_was_drawn_before():
    """Other resamples, other examples and other metrics are not mistaken for these."""
    for examples, resamples in [(30, 120), (40, 120), (30, 150), (40, 150), (30, 120)]:
        group = [scored(seed, examples) for seed in range(3)]
        quality, contests = found_rows(group, resamples)
        for row, (seed, name) in zip(quality, itertools.product(range(3), CHANCE), strict=True):
            one, dense = (plainly(name, s, examples, resamples) for s in (seed, 0))
            kept = retained(METRICS[name], one, dense, CHANCE[name])
            for prefix, values in (("", one), ("delta_", one - dense), ("retained_", kept)):
                bounds = [row[f"{prefix}low"], row[f"{prefix}high"]]
                assert bounds == pytest.approx(np.quantile(values, [0.05, 0.95]))
        dense, one, other = (plainly("accuracy", s, examples, resamples) for s in range(3))
        one, other = (np.maximum((x - 0.4) / (dense - 0.4), 0) for x in (one, other))
        (contest,) = contests
        assert (contest["variant"], contest["other"]) == ("v1", "v2")
        bounds = [contest["low"], contest["high"]]
        assert bounds == pytest.approx(np.quantile(one - other, [0.05, 0.95]))


def test_each_score_is_drawn_once_and_on_the_dense_models_examples(monkeypatch):
    calls = []
    monkeypatch.setattr(scores, "drawn", lambda *given: calls.append(given) or drawn(*given))
    found_rows([scored(seed) for seed in range(50, 55)], 120)
    assert len(calls) == 5 * len(CHANCE)
    with pytest.raises(ValueError, match="30"):  # other examples than the dense model's
        found_rows([scored(0), scored(1, 40)], 120)
