"""Scores of variants against each other and layer by layer, by a bootstrap done step by step."""

import itertools
import json

import fake
import numpy as np
import pytest

from analysis import scores, study
from analysis.pruning.allocation import MOST
from analysis.scoring.intervals import resample_counts
from analysis.scoring.statistics import METRICS
from analysis.variants import Scored, Variant

CHANCE = {"accuracy": 0.5, "f1": 0.6, "perplexity": 100.0}
EXAMPLES = 40


def chosen(**changes):
    tree = fake.STUDIES["other"] | {"title": "x", "name": "x"} | changes
    return study.Study(**{"bootstrap": {"resamples": 150, "confidence": 0.9}} | tree)


def variant(name, sparsity=0.0, **changes):
    made = Variant(name, "tiny-bert", "sentiment", 0, "c", "w", 10, 8, 1.0, sparsity=sparsity)
    return made if not changes else Variant(**{**vars(made), **changes})


def answered(right):
    """An evaluation of that many right answers, or of these."""
    right = np.arange(EXAMPLES) < right if np.isscalar(right) else np.asarray(right)
    rows = np.stack([right, np.ones(EXAMPLES)], axis=1).astype(float)
    return {
        "metrics": {
            "accuracy": {"value": float(right.mean()), "rows": rows.tolist()},
            "f1": {"value": 0.5, "rows": np.ones((EXAMPLES, 3)).tolist()},
        },
        "examples": EXAMPLES,
        "collapsed": False,
        "tokens_per_word": 1.5,
        "sample": [f"answer {i}" for i in range(9)],
    }


def scored(name, right, sparsity=0.5):
    return Scored(variant(name, sparsity), {}, answered(right))


DENSE = Scored(variant("dense"), {}, answered(36))


def contests(group, **changes):
    return scores.contest_rows(chosen(**changes), group, "sentiment", CHANCE)


def by_hand(one, other, dense, resamples=150, confidence=0.9):
    """The interval of the difference in what is retained: one loop over resamples."""
    counts = resample_counts(EXAMPLES, resamples, seed=0)

    def retained(right, weights):
        total = weights.sum()
        score, best = (right * weights).sum() / total, (dense * weights).sum() / total
        return max(0.0, (score - 0.5) / (best - 0.5))  # below chance nothing is left

    drawn = [retained(one, c) - retained(other, c) for c in counts]
    whole = np.ones(EXAMPLES)
    tail = (1 - confidence) / 2
    ends = np.quantile(drawn, [tail, 1 - tail])
    return retained(one, whole) - retained(other, whole), *ends


# ---------------------------------------------------------------- contests


@pytest.mark.parametrize("seed", range(4))
def test_a_contest_is_what_a_loop_over_resamples_gives(seed):
    generator = np.random.default_rng(seed)
    one, other = generator.random((2, EXAMPLES)) < [[0.8], [0.6]]
    dense = np.arange(EXAMPLES) < 36
    (row,) = contests([DENSE, scored("a", one), scored("b", other)])
    found = (row["difference"], row["low"], row["high"])
    assert found == pytest.approx(by_hand(one, other, dense), abs=1e-12)


def test_contests_are_of_each_two_variants_at_one_sparsity_and_of_no_others():
    group = [
        DENSE,
        *(scored(f"{name}-{level}", 30, level) for level in (0.5, 0.9) for name in "abc"),
        scored("alone", 30, 0.7),
        Scored(variant("unreached", 0.5), {}),
    ]
    rows = contests(group)
    assert [(row["variant"], row["other"]) for row in rows] == [
        (f"{a}-{level}", f"{b}-{level}")
        for level in (0.5, 0.9)
        for a, b in itertools.combinations("abc", 2)
    ]
    assert {row["metric"] for row in rows} == {"accuracy"}  # the task's first
    assert all(row["task"] == "sentiment" for row in rows)
    assert [row["sparsity"] for row in rows] == [0.5] * 3 + [0.9] * 3


def test_contests_are_paired():
    """The same answers differ by nothing at all; others of the same score do not."""
    right = np.arange(EXAMPLES) % 4 > 0
    mirrored = right[::-1]
    same, different = (
        contests([DENSE, scored("a", right), scored("b", other)])[0] for other in (right, mirrored)
    )
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    assert different["difference"] == pytest.approx(0)
    assert different["low"] < 0 < different["high"]


def test_two_dead_models_are_alike_and_none_is_below_nothing():
    """However far below chance, nothing is left of either; against a living one that is zero."""
    group = [DENSE, scored("dead", 2), scored("worse", 0), scored("alive", 30)]
    dead, against, other = contests(group)
    assert (dead["difference"], dead["low"], dead["high"]) == (0, 0, 0)
    assert against["difference"] == other["difference"] == pytest.approx(-0.625)
    assert (against["low"], against["high"]) == (other["low"], other["high"])


def test_a_contest_turned_round_has_the_opposite_sign():
    a, b = scored("a", 34), scored("b", 25)
    (one,), (other,) = contests([DENSE, a, b]), contests([DENSE, b, a])
    assert one["low"] > 0
    assert one["difference"] == -other["difference"]
    assert (one["low"], one["high"]) == pytest.approx((-other["high"], -other["low"]))


def test_no_contests_without_scores_or_rivals():
    assert contests([Scored(variant("dense"), {})]) == []
    assert contests([DENSE]) == []
    assert contests([DENSE, scored("a", 30)]) == []


@pytest.mark.parametrize("right", [0, 20, 24])
def test_where_the_dense_model_is_not_surely_above_chance_there_is_no_contest(right):
    group = [Scored(variant("dense"), {}, answered(right)), scored("a", 30), scored("b", 20)]
    assert contests(group) == []


def test_the_confidence_and_the_resamples_are_the_studys():
    group = [DENSE, scored("a", 34), scored("b", np.arange(EXAMPLES) % 3 > 0)]
    widths = [
        row["high"] - row["low"]
        for confidence in (0.6, 0.99)
        for row in contests(group, bootstrap={"resamples": 500, "confidence": confidence})
    ]
    assert widths[0] < widths[1]


# ---------------------------------------------------------------- quality


def test_a_variant_without_scores_has_no_quality():
    none = Scored(variant("a", 0.5), {})
    assert scores.quality_rows(chosen(), none, "sentiment", CHANCE, DENSE.evaluation) == []


def test_quality_has_a_row_a_metric_and_the_same_interval_as_a_contest_with_the_dense_model():
    low = scored("a", 28)
    rows = scores.quality_rows(chosen(), low, "sentiment", CHANCE, DENSE.evaluation)
    assert [row["metric"] for row in rows] == ["accuracy", "f1"]
    first = rows[0]
    value, lowest, highest = by_hand(
        np.arange(EXAMPLES) < 28, np.zeros(EXAMPLES) + 0.5, np.arange(EXAMPLES) < 36
    )
    assert first["retained"] == pytest.approx(value)  # against what is always at chance
    assert (first["retained_low"], first["retained_high"]) == pytest.approx((lowest, highest))
    assert json.loads(first["sample"]) == ["answer 0", "answer 1", "answer 2"]


@pytest.mark.parametrize(("right", "void"), [(20, True), (24, True), (30, False), (36, False)])
def test_nothing_is_retained_of_a_dense_model_that_is_not_surely_above_chance(right, void):
    dense = answered(right)
    for variant_right in (right, 30, 20):
        (row, _) = scores.quality_rows(
            chosen(), scored("a", variant_right), "sentiment", CHANCE, dense
        )
        assert row["void"] is void
        for column in ("retained", "retained_low", "retained_high"):
            assert (row[column] is None) is void
        assert row["value"] == variant_right / EXAMPLES  # what was measured stays
        assert row["delta"] == pytest.approx((variant_right - right) / EXAMPLES)
        assert row["delta_low"] is not None


@pytest.mark.parametrize(("nats", "void"), [(20, False), (46, True), (60, True), (10_000, True)])
def test_where_less_is_better_the_dense_model_has_to_be_surely_below_chance(nats, void):
    rows = np.stack([np.full(EXAMPLES, float(nats)), np.full(EXAMPLES, 10.0)], axis=1)
    rows[::2, 0] *= 1.2
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(METRICS["perplexity"].value(rows.sum(axis=0)))
        dense = {"metrics": {"perplexity": {"value": value, "rows": rows.tolist()}}}
        dense["examples"] = EXAMPLES
        assert scores.is_void(chosen(), "perplexity", dense, CHANCE) is void


# ---------------------------------------------------------------- sensitivity


def cell(group, sparsity, right, weights=(6, 4), **changes):
    return {
        "group": group,
        "part": "encoder",
        "layer": 0,
        "kind": "",
        "tensors": {f"{group}.{i}": size for i, size in enumerate(weights)},
        "sparsity": sparsity,
        "metrics": answered(right)["metrics"],
    } | changes


def sensitivity(*cells, by="layer"):
    record = {"dense": answered(36)["metrics"], "cells": list(cells), "examples": EXAMPLES}
    asked = chosen(sensitivity={"tasks": ["sentiment"], "by": by, "sparsities": [0.5, 0.9]})
    return scores.sensitivity_rows(asked, variant("dense"), "sentiment", record, CHANCE)


def test_sensitivity_rows_are_scores_against_the_dense_model_on_the_same_examples():
    rows = sensitivity(cell("encoder 0", 0.5, 36), cell("encoder 1", 0.9, 24, layer=1))
    same, worse = rows
    assert (same["model"], same["task"], same["metric"]) == ("tiny-bert", "sentiment", "accuracy")
    assert (same["retained"], same["retained_low"], same["retained_high"]) == (1, 1, 1)
    assert same["delta"] == same["delta_low"] == same["delta_high"] == 0
    assert (worse["group"], worse["layer"], worse["sparsity"]) == ("encoder 1", 1, 0.9)
    assert worse["weights"] == 10
    assert worse["value"] == 0.6
    assert worse["retained"] == pytest.approx(0.25)
    assert worse["retained_low"] < 0.25 < worse["retained_high"] < 1
    assert worse["examples"] == EXAMPLES


def test_sensitivity_rows_agree_with_the_quality_of_the_same_answers():
    (row,) = sensitivity(cell("encoder 0", 0.5, 28))
    (quality, _) = scores.quality_rows(
        chosen(), scored("a", 28), "sentiment", CHANCE, DENSE.evaluation
    )
    for column in row.keys() & quality.keys() - {"variant"}:
        assert row[column] == quality[column]


@pytest.mark.parametrize("by", ["layer", "kind"])
def test_sensitivity_rows_fit_their_table(by):
    from analysis.results import build

    rows = sensitivity(cell("a", 0.5, 30), cell("a", 0.9, 30), cell("b", 0.5, 30), by=by)
    table = build({"sensitivity": rows})["sensitivity"]
    assert list(table["by"]) == [by] * 3


# ---------------------------------------------------------------- shares


def measured(group, sparsity, retained, high, weights=10, value=0.5):
    row = {"group": group, "sparsity": sparsity, "weights": weights, "value": value}
    return row | {"retained": retained, "retained_high": high}


def test_what_costs_less_is_pruned_more():
    rows = [measured("cheap", 0.5, 0.9, 0.95), measured("dear", 0.5, 0.4, 0.6)]
    shares = scores.shares(rows, 0.4)
    assert shares["cheap"] > shares["dear"]
    assert np.mean(list(shares.values())) == pytest.approx(0.4)


@pytest.mark.parametrize(("low", "high"), [(0.7, 1.0), (0.2, 1.3), (1.1, 1.2)])
def test_a_loss_within_its_interval_is_none(low, high):
    rows = [measured("a", 0.5, low, high), measured("b", 0.5, 1.0, 1.0)]
    assert scores.shares(rows, 0.4) == pytest.approx({"a": 0.4, "b": 0.4})


def test_a_loss_beyond_its_interval_counts_however_small():
    rows = [measured("a", 0.5, 0.99, 0.999), measured("b", 0.5, 1.0, 1.0)]
    shares = scores.shares(rows, 0.2)
    assert shares == pytest.approx({"a": 0.0, "b": 0.4})


def test_void_measurements_cost_nothing():
    rows = [measured("a", 0.5, None, None), measured("b", 0.5, 1.0, 1.0)]
    assert scores.shares(rows, 0.4) == pytest.approx({"a": 0.4, "b": 0.4})


def test_an_infinite_perplexity_is_a_loss_of_all():
    rows = [measured("dead", 0.5, None, None, value=None), measured("b", 0.5, 0.5, 0.6)]
    alike = [measured("dead", 0.5, 0.0, 0.0), measured("b", 0.5, 0.5, 0.6)]
    assert scores.shares(rows, 0.4) == scores.shares(alike, 0.4)
    assert scores.shares(rows, 0.4)["dead"] < scores.shares(rows, 0.4)["b"]


def test_a_perplexity_that_overflows_is_measured_as_infinite():
    """From the model's log-likelihoods to the share of its group."""
    perplexity = METRICS["perplexity"]

    def answers(nats):
        rows = np.stack([np.full(EXAMPLES, float(nats)), np.full(EXAMPLES, 10.0)], axis=1)
        value = float(perplexity.value(rows.sum(axis=0)))
        return {"perplexity": {"value": value, "rows": rows.tolist()}}

    hurt = {"dead": answers(10_000), "well": answers(20)}
    record = {
        "dense": answers(20),
        "cells": [cell(group, 0.5, 0, metrics=metrics) for group, metrics in hurt.items()],
        "examples": EXAMPLES,
    }
    with np.errstate(invalid="ignore"):  # no bounds where there is no value
        rows = scores.sensitivity_rows(
            chosen(), variant("dense"), "language-modelling", record, CHANCE
        )
    assert [row["value"] is None for row in rows] == [True, False]
    assert scores.shares(rows, 0.4) == pytest.approx({"dead": 0.0, "well": 0.8})


def test_larger_groups_weigh_more_in_the_total():
    rows = [measured("small", 0.5, 0.2, 0.3, weights=10), measured("large", 0.5, 1, 1, weights=90)]
    shares = scores.shares(rows, 0.3)
    assert shares == pytest.approx({"small": 0.0, "large": 1 / 3})


def test_shares_of_measured_rows_make_the_level():
    rows = sensitivity(*(cell(f"encoder {i}", s, 36 - 6 * i) for i in range(3) for s in (0.5, 0.9)))
    for level in (0.1, 0.5, 0.9, MOST):
        shares = scores.shares(rows, level)
        assert np.mean(list(shares.values())) == pytest.approx(level)
        assert shares["encoder 0"] >= shares["encoder 1"] >= shares["encoder 2"]
