"""Statistics, histograms and CDFs of weights, against numpy, scipy and counting."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.models import naming
from analysis.profile import CUTOFFS, QUANTILES, cdf, histograms, leaves, scopes, statistics

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
ordinary = st.floats(-(2.0**20), 2.0**20, width=32)
with_gaps = st.one_of(finite, st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0]))


def arrays(elements, min_size=0, max_size=60):
    return hnp.arrays(np.float32, st.integers(min_size, max_size), elements=elements)


def normal(size=20_000, scale=0.02, seed=0):
    return (scale * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


# ---------------------------------------------------------------- statistics


@pytest.mark.parametrize(
    "values",
    [
        normal(),
        normal() ** 3,
        np.abs(normal(scale=10)),
        np.random.default_rng(1).uniform(-1, 5, 5000).astype(np.float32),
        np.random.default_rng(2).exponential(1e-20, 5000).astype(np.float32),
        np.random.default_rng(3).normal(1e4, 1e-1, 5000).astype(np.float32),
        (1e30 * normal()).astype(np.float32),
    ],
)
def test_statistics_are_those_of_numpy_and_scipy(values):
    exact, row = values.astype(np.float64), statistics(values)
    assert row["mean_abs"] == pytest.approx(np.abs(exact).mean())
    assert row["std"] == pytest.approx(exact.std())
    assert row["skew"] == pytest.approx(scipy.stats.skew(exact), rel=1e-6, abs=1e-9)
    assert row["kurtosis"] == pytest.approx(scipy.stats.kurtosis(exact), rel=1e-6, abs=1e-9)
    for name, q in QUANTILES.items():
        assert row[name] == pytest.approx(np.quantile(exact, q))
    for name, cut in CUTOFFS.items():
        assert row[name] == np.mean(np.abs(exact) < cut)


def test_columns_are_named_after_what_they_hold():
    row = statistics(normal())
    assert {name: int(name[1:]) / 100 for name in QUANTILES} == QUANTILES
    assert {name: float(name.removeprefix("below_")) for name in CUTOFFS} == CUTOFFS
    assert {"parameters", "zeros", "not_finite", "mean_abs", "std", "skew", "kurtosis"} == (
        row.keys() - QUANTILES.keys() - CUTOFFS.keys()
    )


@given(values=arrays(with_gaps))
def test_counts_are_right_whatever_the_values(values):
    row = statistics(values)
    assert row["parameters"] == values.size
    assert row["zeros"] == sum(1 for v in values if v == 0)
    assert row["not_finite"] == sum(1 for v in values if not np.isfinite(v))


@given(values=arrays(with_gaps, min_size=1))
def test_what_is_not_finite_is_left_out_of_everything_else(values):
    with_them, without = statistics(values), statistics(values[np.isfinite(values)])
    for name in with_them.keys() - {"parameters", "not_finite"}:
        assert with_them[name] == without[name]


@given(values=arrays(finite, min_size=1))
def test_every_statistic_of_finite_weights_is_finite_or_void(values):
    row = statistics(values)
    assert all(value is None or np.isfinite(value) for value in row.values())
    assert row["mean_abs"] >= 0
    assert row["std"] >= 0
    quantiles = [row[name] for name in QUANTILES]
    assert quantiles == sorted(quantiles)
    assert all(values.min() <= q <= values.max() for q in quantiles)
    below = [row[name] for name in CUTOFFS]
    assert below == sorted(below)
    assert all(0 <= share <= 1 for share in below)


@given(values=arrays(ordinary, min_size=2))
def test_a_change_of_sign_mirrors_the_statistics(values):
    row, mirrored = statistics(values), statistics(-values)
    for name in ("parameters", "zeros", "mean_abs", *CUTOFFS):
        assert row[name] == mirrored[name]
    assert mirrored["q50"] == pytest.approx(-row["q50"])
    assert mirrored["q05"] == pytest.approx(-row["q95"])
    if row["skew"] is not None:
        assert mirrored["skew"] == pytest.approx(-row["skew"])


@given(value=finite, size=st.integers(1, 100))
def test_a_constant_has_no_shape(value, size):
    row = statistics(np.full(size, value, np.float32))
    assert row["std"] == 0
    assert row["skew"] is None
    assert row["kurtosis"] is None
    assert row["q01"] == row["q99"] == np.float32(value)
    assert row["mean_abs"] == abs(np.float32(value))


@pytest.mark.parametrize(
    "values", [np.zeros(0, np.float32), np.array([np.nan, np.inf, -np.inf], np.float32)]
)
def test_statistics_of_nothing_are_void(values):
    row = statistics(values)
    assert row["parameters"] == row["not_finite"] == values.size
    assert row["zeros"] == 0
    assert all(row[name] is None for name in ("mean_abs", "std", "skew", *QUANTILES, *CUTOFFS))


def test_a_cutoff_itself_is_not_below_the_cutoff():
    row = statistics(np.array([1.0, -1.0, 0.5], np.float32))
    assert row["below_1"] == pytest.approx(1 / 3)


def test_the_shape_of_the_array_does_not_matter():
    values = normal(600)
    assert statistics(values.reshape(20, 30)) == statistics(values)


def test_a_long_sum_keeps_its_precision():
    """In float32 the mean of 2²² weights around 1000 would be off in the third digit of std."""
    values = (1000 + normal(1 << 20, scale=0.01)).astype(np.float32)
    assert statistics(values)["std"] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)


# ---------------------------------------------------------------- leaves and scopes

NAMES = [
    "bert.embeddings.word_embeddings.weight",
    "bert.embeddings.LayerNorm.weight",
    "bert.encoder.layer.0.attention.self.query.weight",
    "bert.encoder.layer.0.attention.self.query.bias",
    "bert.encoder.layer.0.attention.self.key.bias",
    "bert.encoder.layer.1.output.dense.weight",
    "bert.encoder.layer.10.output.dense.weight",
    "classifier.weight",
]


def checkpoint():
    return {name: normal(30 + i, seed=i).reshape(-1, 1) for i, name in enumerate(NAMES)}


def named(weights):
    return naming.weights(weights, "encoder-only")


def test_leaves_add_up_to_the_model():
    weights = checkpoint()
    rows = leaves(weights, named(weights))
    everything = np.concatenate([w.reshape(-1) for w in weights.values()])
    assert sum(row["parameters"] for row in rows) == everything.size
    assert sum(row["parameters"] * row["mean_abs"] for row in rows) == pytest.approx(
        np.abs(everything.astype(np.float64)).sum()
    )
    for cut in CUTOFFS:
        assert sum(row["parameters"] * row[cut] for row in rows) == pytest.approx(
            everything.size * statistics(everything)[cut]
        )


def test_leaves_are_keyed_by_part_layer_and_kind():
    weights = checkpoint()
    rows = leaves(weights, named(weights))
    keys = [(row["part"], row["layer"], row["kind"]) for row in rows]
    assert len(set(keys)) == len(keys)
    expected = {(w.part, w.layer, w.kind) for w in named(weights).values()}
    assert set(keys) == expected


def test_a_leaf_holds_all_tensors_of_its_key():
    weights = checkpoint()
    (row,) = [r for r in leaves(weights, named(weights)) if r["kind"] == "bias"]
    both = np.concatenate([weights[NAMES[3]], weights[NAMES[4]]])
    expected = statistics(both)
    assert row == {"part": "encoder", "layer": 0, "kind": "bias"} | {
        name: pytest.approx(value) for name, value in expected.items()
    }


def test_scopes_cover_the_model_its_parts_layers_and_kinds():
    weights = checkpoint()
    found = dict(scopes(weights, named(weights)))
    total = sum(w.size for w in weights.values())
    assert found["model"].size == total
    for prefix in ("part:", "kind:"):
        assert sum(v.size for s, v in found.items() if s.startswith(prefix)) == total
    layers = {s: v.size for s, v in found.items() if s.startswith("layer:")}
    assert layers == {
        "layer:encoder:0": 32 + 33 + 34,
        "layer:encoder:1": 35,
        "layer:encoder:10": 36,
    }


def test_scopes_hold_the_very_weights():
    weights = checkpoint()
    found = dict(scopes(weights, named(weights)))
    np.testing.assert_array_equal(found["layer:encoder:1"], weights[NAMES[5]].reshape(-1))
    np.testing.assert_array_equal(found["kind:head"], weights[NAMES[7]].reshape(-1))


# ---------------------------------------------------------------- histograms


def bins(rows, scale):
    return [row for row in rows if row["scale"] == scale]


@given(values=arrays(with_gaps, min_size=1))
def test_every_finite_weight_is_counted_once_and_zeros_not_on_the_log_scale(values):
    rows = histograms(values)
    good = values[np.isfinite(values)]
    assert sum(row["count"] for row in bins(rows, "linear")) == good.size
    assert sum(row["count"] for row in bins(rows, "log10")) == np.count_nonzero(good)


@given(values=arrays(finite, min_size=1))
def test_bins_join_without_gaps_and_in_order(values):
    for scale in ("linear", "log10"):
        listed = bins(histograms(values), scale)
        assert all(row["left"] < row["right"] for row in listed)
        assert all(a["right"] == b["left"] for a, b in itertools.pairwise(listed))
        lefts = [row["left"] for row in listed]
        assert len(set(lefts)) == len(lefts)


def test_counts_are_those_of_counting():
    values = normal(5000)
    rows = histograms(values)
    exact = values.astype(np.float64)
    for scale, measured in (("linear", exact), ("log10", np.abs(exact))):
        for row in bins(rows, scale)[1:-1]:
            assert row["count"] == np.sum((measured >= row["left"]) & (measured < row["right"]))


def test_the_linear_scale_reaches_the_outliers():
    values = np.append(normal(5000), np.array([9, -7], np.float32))
    listed = bins(histograms(values), "linear")
    assert listed[0]["left"] == -7
    assert listed[-1]["right"] == 9
    assert listed[1]["right"] - listed[1]["left"] < 0.01


@pytest.mark.parametrize(
    "values",
    [[0.0], [1.0], [-3.0], [0.0, 0.0], [1e-45], [3.4e38, -3.4e38], [1e-30, 1e30]],
)
def test_extreme_weights_have_histograms_and_cdfs(values):
    array = np.array(values, np.float32)
    assert sum(row["count"] for row in bins(histograms(array), "linear")) == array.size
    assert all(0 <= row["fraction"] <= 1 for row in cdf(array))


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf]])
def test_nothing_has_no_histogram_and_no_cdf(values):
    array = np.array(values, np.float32)
    assert histograms(array) == cdf(array) == []


# ---------------------------------------------------------------- CDFs


@given(values=arrays(with_gaps, min_size=1))
def test_a_cdf_is_the_fraction_counted_below_each_cutoff(values):
    magnitude = np.abs(values[np.isfinite(values)].astype(np.float64))
    for row in cdf(values):
        assert row["fraction"] == pytest.approx(np.mean(magnitude < row["left"]), abs=1e-15)


@given(values=arrays(finite, min_size=1))
def test_a_cdf_rises_with_its_cutoffs(values):
    for scale in ("linear", "log10"):
        listed = bins(cdf(values), scale)
        lefts, fractions = ([row[key] for row in listed] for key in ("left", "fraction"))
        assert lefts == sorted(set(lefts))
        assert fractions == sorted(fractions)


def test_a_cdf_begins_at_nothing_and_ends_at_nearly_all():
    listed = bins(cdf(normal()), "linear")
    assert (listed[0]["left"], listed[0]["fraction"]) == (0, 0)
    assert listed[-1]["fraction"] >= 0.998


def test_the_median_of_a_normal_is_where_it_should_be():
    listed = bins(cdf(normal(100_000, scale=1.0)), "linear")
    fractions = np.interp(0.6745, [r["left"] for r in listed], [r["fraction"] for r in listed])
    assert fractions == pytest.approx(0.5, abs=0.01)
