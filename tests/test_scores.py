"""Rows with intervals, of scores and of times, against numpy: a bootstrap done step by step."""

import json
import math
from dataclasses import replace
from pathlib import Path

import fake
import numpy as np
import pytest
import yaml

from analysis import results, study
from analysis.experiments import sensitivity as experiment_sensitivity
from analysis.experiments.quality import contest_rows, is_void, quality_rows
from analysis.experiments.timing import replica_rows, runtime_rows
from analysis.experiments.variant import Scored, Variant

TABLES = yaml.safe_load(Path(__file__).with_name("tables.yml").read_text(encoding="utf-8"))
CHANCE = {"accuracy": 0.5, "perplexity": 100.0}
EXAMPLES = 40
FACTS = {"device": "cpu", "device_name": "", "dtype": "float32", "threads": 2, "tokens": 32}


def chosen(resamples=150, confidence=0.9, **changes):
    tree = fake.STUDIES["other"] | {"title": "x", "name": "x"} | changes
    return study.Study(**tree | {"bootstrap": {"resamples": resamples, "confidence": confidence}})


def value(metric, rows, times):
    """The metric of the rows of statistics, each counted so many times."""
    with np.errstate(over="ignore"):
        above, below = times @ np.asarray(rows, float)
        return np.exp(above / below) if metric == "perplexity" else above / below


def evaluation(**rows):
    """What an evaluation records, given the rows of statistics of each metric."""
    examples, metrics = len(next(iter(rows.values()))), {}
    for name, of in rows.items():
        whole = float(value(name, of, np.ones(examples)))
        metrics[name] = {"value": whole, "rows": np.asarray(of, float).tolist()}
    told = {
        "collapsed": False,
        "tokens_per_word": 1.5,
        "sample": ["no. 0", float("nan"), *range(7)],
    }
    told |= {"protocol": "as published", "device": "cuda", "dtype": "bfloat16"}
    return {"metrics": metrics, "examples": examples, **told}


def right(which, examples=EXAMPLES):
    """The rows of these answers, or of so many right ones (of a share: spread evenly)."""
    at = np.arange(examples)
    if isinstance(which, float):
        which = np.floor((at + 1) * which) > np.floor(at * which)
    which = at < which if np.isscalar(which) else np.asarray(which)
    return np.stack([which, np.ones(examples)], axis=1)


def nats(mean, spread=0.3, examples=EXAMPLES):
    """The rows of texts of ten words whose perplexities lie around the mean."""
    each = np.log(mean) + spread * np.where(np.arange(examples) % 2, 1, -1)
    return np.stack([10 * each, np.full(examples, 10.0)], axis=1)


def scored(name, rows=None, sparsity=0.5, metric="accuracy"):
    made = Variant(name, "tiny-bert", "sentiment", 0, "c", "w", 10, 8, 1.0, sparsity=sparsity)
    return Scored(made, {}, None if rows is None else evaluation(**{metric: rows}))


DENSE = scored("dense", right(36), 0.0)


def drawn(metric, rows, dense):
    """Score, difference from dense and share retained: of all examples, and of each resample."""
    examples, kept = len(rows), np.log if metric == "perplexity" else np.asarray
    counts = np.random.default_rng(0).multinomial(examples, [1 / examples] * examples, 150)

    def three(times):
        one, whole, chance = value(metric, rows, times), value(metric, dense, times), CHANCE[metric]
        return one, one - whole, (kept(one) - kept(chance)) / (kept(whole) - kept(chance))

    return three(np.ones(examples)), np.array([three(times) for times in counts])


def ends(values):
    return np.quantile(values, [0.05, 0.95], axis=0)


@pytest.mark.parametrize("seed", range(3))
def test_quality_is_what_a_loop_over_resamples_gives(seed):
    chance = np.random.default_rng(seed)
    which, spread = chance.random((2, EXAMPLES)) < [[0.7], [0.9]], chance.normal(size=(2, EXAMPLES))
    one = {"accuracy": right(which[0]), "perplexity": nats(30.0, spread[0])}
    dense = {"accuracy": right(which[1]), "perplexity": nats(10.0, spread[1])}
    variant = Scored(scored("a").variant, {}, evaluation(**one))
    quality = quality_rows(chosen(), variant, "sentiment", CHANCE, evaluation(**dense))
    assert [row["metric"] for row in quality] == ["accuracy", "perplexity"]
    for row in quality:
        whole, resamples = drawn(row["metric"], one[row["metric"]], dense[row["metric"]])
        for i, prefix in enumerate(("", "delta_", "retained_")):
            found = [row[prefix[:-1] or "value"], row[f"{prefix}low"], row[f"{prefix}high"]]
            assert found == pytest.approx([whole[i], *ends(resamples[:, i])]), prefix
        assert (row["variant"], row["task"], row["examples"]) == ("a", "sentiment", EXAMPLES)
        assert (row["void"], row["collapsed"], row["tokens_per_word"]) == (False, False, 1.5)
        assert row["sample"] == '["no. 0", null, 0]'
        told = {"protocol": "as published", "device": "cuda", "dtype": "bfloat16"}
        assert told.items() <= row.items()
    assert results.build({"quality": quality})["quality"].notna().all(axis=None)
    assert quality_rows(chosen(), scored("a"), "sentiment", CHANCE, evaluation(**dense)) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_contest_is_what_a_loop_over_resamples_gives(seed):
    chance = np.random.default_rng(seed)
    one, other = (right(x) for x in chance.random((2, EXAMPLES)) < [[0.8], [0.45]])
    group = [DENSE, scored("a", one), scored("b", other)]
    (row,) = contest_rows(chosen(), group, "sentiment", CHANCE)
    (a, of_a), (b, of_b) = (drawn("accuracy", x, right(36)) for x in (one, other))
    apart = max(0, a[2]) - max(0, b[2])  # below chance nothing is left
    low, high = ends(np.maximum(of_a[:, 2], 0) - np.maximum(of_b[:, 2], 0))
    found = (row["difference"], row["low"], row["high"])
    assert found == pytest.approx((apart, low, high), abs=1e-12)


def test_a_resample_with_the_dense_model_at_chance_lies_outside_of_both_ends():
    """Paraphrases of which 68 % are of one label, as of MRPC: 408, dense 73 to 76 %."""
    examples, chance = 408, {"accuracy": 279 / 408}
    asked = chosen(2000, 0.95)
    counts = np.random.default_rng(0).multinomial(examples, [1 / examples] * examples, 2000)
    for share, lost in ((0.735, True), (0.76, False), (0.80, False)):
        dense, pruned = right(share, examples), right(share - 0.02, examples)
        whole, score = (counts @ rows[:, 0] / examples for rows in (dense, pruned))
        at_chance = whole <= chance["accuracy"]
        assert lost == (at_chance.sum() > 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = (score - chance["accuracy"]) / (whole - chance["accuracy"])
        unknown = [np.where(at_chance, end, kept) for end in (-1e9, 1e9)]
        bounds = [np.quantile(one, at) for one, at in zip(unknown, (0.025, 0.975), strict=True)]
        group = [scored("dense", dense, 0.0), scored("a", pruned), scored("b", right(1, examples))]
        (row,) = quality_rows(asked, group[1], "sentiment", chance, group[0].evaluation)
        assert not row["void"]
        assert [row["retained_low"], row["retained_high"]] == pytest.approx(bounds)
        assert row["retained_low"] < row["retained"] < row["retained_high"]
        (contest,) = contest_rows(asked, group, "sentiment", chance)
        assert contest["low"] < contest["difference"] < contest["high"]


def test_contests_are_of_one_sparsity_and_smaller_alternatives_meet_all_that_is_pruned():
    made = [("pruned", "a", 0.9), ("pruned", "b", 0.5), ("pruned", "b2", 0.5),
            ("int8", "c", 0.0), ("moe", "d", 0.0)]  # fmt: skip
    group = [scored(name, right(30), level) for _, name, level in made]
    group = [replace(one, variant=replace(one.variant, kind=kind))
             for one, (kind, *_) in zip(group, made, strict=True)]  # fmt: skip
    rows = contest_rows(chosen(), [DENSE, *group, scored("unreached")], "sentiment", CHANCE)
    assert {(row["metric"], row["task"]) for row in rows} == {("accuracy", "sentiment")}
    found = [(row["variant"], row["other"], row["sparsity"]) for row in rows]
    assert found == [
        *(("a", "c", 0.9), ("b", "b2", 0.5), ("b", "c", 0.5)),
        *(("b2", "c", 0.5), ("c", "d", 0.0)),
    ]
    for few in ([scored("dense")], [DENSE], [DENSE, scored("a", right(30))]):
        assert contest_rows(chosen(), few, "sentiment", CHANCE) == []


def test_of_a_dense_model_not_surely_above_chance_scores_stay_and_nothing_is_retained():
    asked, rows_of = chosen(500, 0.95), {"accuracy": right, "perplexity": nats}
    for metric, dense, examples, void in TABLES["void"]:
        rows = rows_of[metric]
        dense = [dense] * examples if isinstance(dense, list) else rows(dense, examples=examples)
        pruned = rows({"accuracy": 0.7, "perplexity": 90.0}[metric], examples=examples)
        group = [scored("dense", dense, 0.0, metric)]
        group += [scored(name, pruned, metric=metric) for name in "ab"]
        whole = group[0].evaluation
        assert is_void(asked, metric, whole, CHANCE) is void
        with np.errstate(invalid="ignore"):
            (row,) = quality_rows(asked, group[1], "sentiment", CHANCE, whole)
        assert row["void"] is (row["retained"] is None) is void
        assert not void or row["retained_low"] is row["retained_high"] is None
        assert row["low"] <= row["value"] <= row["high"]
        assert (row["delta"] is None) == (whole["metrics"][metric]["value"] == math.inf)
        assert len(contest_rows(asked, group, "sentiment", CHANCE)) == (not void)
        for unknown in (math.nan, math.inf if metric == "accuracy" else -math.inf):
            assert is_void(asked, metric, whole, {metric: unknown})


def cell(group, sparsity, rows, metric="accuracy", **changes):
    told = {"group": group, "part": "encoder", "layer": 0, "kind": "", "sparsity": sparsity}
    tensors = {f"{group}.{i}": size for i, size in enumerate((6, 4))}
    metrics = evaluation(**{metric: rows})["metrics"]
    return told | {"tensors": tensors, "metrics": metrics} | changes


def sensitivity(*cells, dense=DENSE.evaluation):
    record = {"dense": dense["metrics"], "cells": list(cells), "examples": EXAMPLES}
    asked = chosen(sensitivity={"tasks": ["sentiment"], "by": "kind", "sparsities": [0.5, 0.9]})
    return experiment_sensitivity.sensitivity_rows(
        asked, DENSE.variant, "sentiment", record, CHANCE
    )


def test_sensitivity_rows_are_scores_against_the_dense_model_on_the_same_examples():
    cells = cell("encoder 0", 0.5, right(36)), cell("encoder 1", 0.9, right(24), layer=1)
    same, worse = sensitivity(*cells)
    for column, none in (("retained", 1), ("delta", 0)):
        assert [same[column], same[f"{column}_low"], same[f"{column}_high"]] == [none] * 3
    told = {"model": "tiny-bert", "task": "sentiment", "metric": "accuracy", "by": "kind"}
    told |= {"group": "encoder 1", "layer": 1, "sparsity": 0.9, "part": "encoder", "kind": ""}
    assert (told | {"weights": 10, "examples": EXAMPLES}).items() <= worse.items()
    whole, resamples = drawn("accuracy", right(24), right(36))
    for i, column in enumerate(("value", "delta", "retained")):
        low, high = (f"{column}_{end}".removeprefix("value_") for end in ("low", "high"))
        found = [worse[column], worse[low], worse[high]]
        assert found == pytest.approx([whole[i], *ends(resamples[:, i])])
    assert len(results.build({"sensitivity": [same, worse]})["sensitivity"]) == 2


def test_a_perplexity_that_overflows_is_measured_as_infinite():
    """From the model's log-likelihoods to the share of its group."""
    both = {"dead": [[10_000.0, 10.0]] * EXAMPLES, "well": nats(10.0)}
    with np.errstate(invalid="ignore"):  # no bounds where there is no value
        cells = [cell(group, 0.5, of, "perplexity") for group, of in both.items()]
        rows = sensitivity(*cells, dense=evaluation(perplexity=nats(10.0)))
    assert [row["value"] is None for row in rows] == [True, False]
    assert experiment_sensitivity.shares(rows, 0.4) == pytest.approx({"dead": 0.0, "well": 0.8})


def test_shares_go_by_what_was_surely_lost():
    def row(group, retained, high, weights=10, value=0.5):
        told = {"group": group, "sparsity": 0.5, "weights": weights, "value": value}
        return told | {"retained": retained, "retained_high": high}

    for a, b, level, shares in TABLES["shares"]:
        found = experiment_sensitivity.shares([row("a", *a), row("b", *b)], level)
        assert found == pytest.approx(dict(zip("ab", shares, strict=True))), (a, b)


def timed(variant, samples, kernel="torch dense", batch=1, operation="forward", peak=None, **more):
    told = {"variant": variant, "kernel": kernel, "batch": batch, "operation": operation}
    return told | {"peak_bytes": peak, "samples_ms": samples} | more


def runtimes(*cells, confidence=0.95):
    return runtime_rows(FACTS | {"cells": list(cells)}, confidence)["runtime"]


def test_rows_are_medians_of_the_raw_samples_against_the_dense_model_at_the_same_batch():
    chosen = {"auto": {"tiled csr": 3, "torch dense": 1}}
    cells = [
        timed(name, samples, kernel, batch, operation, peak, chosen=chosen.get(kernel))
        for name, kernel, batch, operation, samples, peak, *_ in TABLES["timed"]
    ]
    found = runtimes(*cells)
    for row, cell, (*_, median, speedup) in zip(found, cells, TABLES["timed"], strict=True):
        samples, kernel = cell["samples_ms"], cell["kernel"]
        told = {key: cell[key] for key in ("variant", "kernel", "batch", "operation", "peak_bytes")}
        told |= {fact: FACTS[fact] for fact in ("device", "threads", "tokens")}
        told |= {"p50_ms": median, "speedup": speedup, "iterations": len(samples)}
        told |= {"dtype": "int8" if kernel == "torch int8" else "float32"}
        assert told.items() <= row.items()
        assert json.loads(row["samples_ms"]) == samples
        assert json.loads(row["chosen"] or "null") == chosen.get(kernel)
        p95, rate = np.quantile(samples, 0.95), cell["batch"] * 32 / (median / 1000)
        assert (row["p95_ms"], row["tokens_per_second"]) == pytest.approx((p95, rate))
    table = results.build({"runtime": found})["runtime"]
    assert table.drop(columns=["peak_bytes", "chosen"]).notna().all(axis=None)
    # the first variant is the dense one, whatever it is called
    renamed = [c | {"variant": c["variant"].replace("dense", "whole")} for c in cells]
    assert [row["speedup"] for row in runtimes(*renamed)] == [row["speedup"] for row in found]


def test_what_was_measured_beside_another_dense_run_is_compared_with_that():
    """Where not all variants fit into memory at once."""
    found = runtimes(
        timed("m/dense", [2.0] * 3), timed("m/0.5", [1.0] * 3),
        timed("m/0.9", [2.0] * 3, dense_ms=[8.0] * 3), timed("m/dense", [30.0] * 3, batch=8),
        timed("m/0.9", [20.0] * 3, batch=8, dense_ms=[10.0] * 3))  # fmt: skip
    for column in ("speedup", "speedup_low", "speedup_high"):
        assert [row[column] for row in found] == [1.0, 2.0, 4.0, 1.0, 0.5], column


def test_replicas_are_against_the_dense_kernel_on_the_same_weights():
    cells = [timed("", ms, k, sparsity=s, linear_bytes=b) for s, k, b, ms, *_ in TABLES["replicas"]]
    found = replica_rows(FACTS | {"architecture": "bert-base", "cells": cells}, 0.95)["replicas"]
    columns = ("sparsity", "kernel", "linear_bytes", "p50_ms", "speedup")
    expected = [told[:3] + told[4:] for told in TABLES["replicas"]]
    assert [[row[column] for column in columns] for row in found] == expected
    table = results.build({"replicas": found})["replicas"]
    assert set(table["architecture"]) == {"bert-base"}
    assert table.notna().all(axis=None)


def test_the_interval_of_a_speed_up_is_a_bootstrap_of_both_medians():
    outside = []  # what share of a far longer bootstrap lies below and above the interval
    for seed in range(12):
        chance = np.random.default_rng(seed)
        dense, fast = chance.lognormal(2, 0.2, 25), chance.lognormal(1, 0.3, 21)
        drawn = [np.median(chance.choice(x, (10_000, len(x))), axis=1) for x in (dense, fast)]
        whole, row = runtimes(timed("dense", dense.tolist()), timed("fast", fast.tolist(), "auto"))
        low, high, ratios = row["speedup_low"], row["speedup_high"], drawn[0] / drawn[1]
        outside.append(((ratios < low).mean(), (ratios > high).mean()))
        assert (whole["speedup_low"], whole["speedup_high"]) == (1, 1)  # of the dense samples
    assert np.mean(outside, axis=0) == pytest.approx([0.025, 0.025], abs=0.006)
    half = runtimes(timed("d", dense.tolist()), timed("f", fast.tolist(), "auto"), confidence=0.5)
    assert low < half[1]["speedup_low"] < half[1]["speedup_high"] < high
