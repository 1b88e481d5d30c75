"""Scores are drawn once for all comparisons, and those of other examples are not taken for them."""

import fake
import numpy as np
import pytest

from analysis import study
from analysis.experiments import quality
from analysis.experiments import quality as scores
from analysis.experiments.variant import Scored, Variant
from analysis.scoring.intervals import drawn, resample_counts
from analysis.scoring.statistics import METRICS

SIZES = [(30, 120), (40, 120), (30, 150), (30, 120)]  # examples, resamples; the last were drawn


def scored(seed, examples):
    rows = np.random.default_rng(seed).integers(1, 9, (examples, 2)).astype(float)
    record = {"metrics": {"accuracy": {"value": 0.5, "rows": rows.tolist()}}, "sample": []}
    record |= {"examples": examples, "collapsed": False, "tokens_per_word": 1.0}
    variant = Variant(f"v{seed}", "tiny-bert", "sentiment", 0, "c", "w", 1, 1, 1.0, sparsity=0.5)
    return Scored(variant, {}, record), rows


def test_each_score_is_drawn_once_for_its_examples_and_resamples(monkeypatch):
    calls = []
    monkeypatch.setattr(scores, "drawn", lambda *given: calls.append(given) or drawn(*given))
    for examples, resamples in SIZES:
        bootstrap = {"resamples": resamples, "confidence": 0.9}
        chosen = study.Study(**fake.STUDIES["one"], title="x", name="x", bootstrap=bootstrap)
        group, rows = zip(*(scored(seed, examples) for seed in (50, 51, 52)), strict=True)
        dense, counts = group[0].evaluation, resample_counts(examples, resamples, seed=0)
        for one, own in zip(group, rows, strict=True):
            (row,) = quality.quality_rows(chosen, one, "sentiment", {"accuracy": 0.4}, dense)
            expected = np.quantile(drawn(METRICS["accuracy"], own, counts).resamples, [0.05, 0.95])
            assert [row["low"], row["high"]] == pytest.approx(expected)
        quality.contest_rows(chosen, group, "sentiment", {"accuracy": 0.4})
    assert len(calls) == 3 * len({*SIZES})
