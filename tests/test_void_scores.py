"""Where the dense model is not above chance beyond its interval, nothing is said to be retained."""

import numpy as np
import pytest

from analysis import scores, study
from analysis.scores import is_void, quality_rows, scored_interval
from analysis.scoring.statistics import METRICS
from analysis.variants import Scored, Variant

EXAMPLES = 200
CHANCE = {"accuracy": 0.5, "perplexity": 100.0}
STUDY = study.Study(
    name="x",
    title="x",
    models=[{"name": "tiny-bert", "family": "encoder-only", "tasks": ["sentiment"]}],
    examples={"sentiment": EXAMPLES},
    methods=["magnitude", "random"],
    sparsities=[0.5],
    bootstrap={"resamples": 500, "confidence": 0.95},
)


def evaluation(metric, rows):
    rows = np.asarray(rows, float)
    value = float(METRICS[metric].value(rows.sum(axis=0)))
    return {
        "metrics": {metric: {"value": value, "rows": rows.tolist()}},
        "examples": len(rows),
        "collapsed": False,
        "tokens_per_word": 1.0,
        "sample": ["answer"],
    }


def accuracy(share, examples=EXAMPLES):
    """So many of the answers are right, spread evenly."""
    right = np.floor(np.arange(1, examples + 1) * share) > np.floor(np.arange(examples) * share)
    return evaluation("accuracy", np.stack([right, np.ones(examples)], axis=1))


def perplexity(mean, spread=0.3, examples=EXAMPLES):
    """Texts of ten words whose perplexities lie around the mean."""
    nats = np.log(mean) + spread * np.where(np.arange(examples) % 2, 1, -1)
    return evaluation("perplexity", np.stack([10 * nats, np.full(examples, 10.0)], axis=1))


def variant(name, sparsity=0.5):
    return Variant(name, "tiny-bert", "sentiment", 0, "c", "w", 10, 8, 1.0, sparsity=sparsity)


def rows(dense, pruned, metric):
    group = [Scored(variant("dense", 0.0), {}, dense)]
    group += [Scored(variant(name), {}, answered) for name, answered in pruned.items()]
    chance = {metric: CHANCE[metric]}
    quality = [row for one in group for row in quality_rows(STUDY, one, "sentiment", chance, dense)]
    return quality, scores.contest_rows(STUDY, group, "sentiment", chance)


@pytest.mark.parametrize(
    ("metric", "dense", "void"),
    [
        ("accuracy", accuracy(0.5), True),
        ("accuracy", accuracy(0.55), True),  # ten of 200 above chance: within the interval
        ("accuracy", accuracy(0.6), False),
        ("accuracy", accuracy(0.3), True),  # surely below
        ("accuracy", accuracy(0.0), True),
        ("accuracy", accuracy(1.0), False),
        ("perplexity", perplexity(100.0), True),
        ("perplexity", perplexity(98.0), True),
        ("perplexity", perplexity(80.0), False),
        ("perplexity", perplexity(500.0), True),
        ("perplexity", perplexity(2.0), False),
    ],
)
def test_void_is_a_dense_interval_that_touches_chance(metric, dense, void):
    assert is_void(STUDY, metric, dense, CHANCE) == void
    found = scored_interval(STUDY, metric, dense)
    beyond = found.low > 0.5 if metric == "accuracy" else found.high < 100
    assert void == (not beyond)


def test_more_examples_tell_a_little_from_nothing():
    few, many = accuracy(0.55), accuracy(0.55, examples=4000)
    assert is_void(STUDY, "accuracy", few, CHANCE)
    assert not is_void(STUDY, "accuracy", many, CHANCE)


def test_exactly_chance_on_every_resample_is_void():
    even = evaluation("accuracy", [[0.5, 1.0]] * EXAMPLES)
    assert is_void(STUDY, "accuracy", even, CHANCE)


@pytest.mark.parametrize("chance", [float("nan"), float("inf")])
def test_an_unknown_chance_is_void(chance):
    assert is_void(STUDY, "accuracy", accuracy(0.9), {"accuracy": chance})


def test_an_infinite_perplexity_is_void():
    nothing = evaluation("perplexity", [[1e5, 10.0]] * EXAMPLES)
    assert is_void(STUDY, "perplexity", nothing, CHANCE)


@pytest.mark.parametrize(
    ("metric", "dense", "pruned"),
    [
        ("accuracy", accuracy(0.52), {"a": accuracy(0.9), "b": accuracy(0.5)}),
        ("perplexity", perplexity(99.0), {"a": perplexity(20.0), "b": perplexity(300.0)}),
    ],
)
def test_of_a_void_model_scores_stay_and_nothing_is_retained(metric, dense, pruned):
    quality, contests = rows(dense, pruned, metric)
    assert contests == []
    for row in quality:
        assert row["void"] is True
        assert row["retained"] is row["retained_low"] is row["retained_high"] is None
        assert row["value"] > 0
        assert row["low"] <= row["value"] <= row["high"]
        assert row["delta"] is not None


@pytest.mark.parametrize(
    ("metric", "dense", "pruned", "retained"),
    [
        ("accuracy", accuracy(0.9), {"a": accuracy(0.7), "b": accuracy(0.5)}, {"a": 0.5, "b": 0.0}),
        (
            "perplexity",
            perplexity(10.0),
            {"a": perplexity(10.0), "b": perplexity(100.0)},
            {"a": 1.0, "b": 0.0},
        ),
    ],
)
def test_a_model_clearly_above_chance_has_all_of_it(metric, dense, pruned, retained):
    quality, contests = rows(dense, pruned, metric)
    assert [row["void"] for row in quality] == [False] * 3
    found = {row["variant"]: row["retained"] for row in quality}
    assert found == pytest.approx({"dense": 1.0} | retained, abs=1e-9)
    (contest,) = contests
    assert contest["difference"] == pytest.approx(retained["a"] - retained["b"], abs=1e-9)
