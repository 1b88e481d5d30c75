"""Statistics, scopes, histograms and CDFs of weights, against numpy, scipy and exact fractions."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from leaves import in_memory, statistics

from analysis.models import naming
from analysis.profile import bits
from analysis.profile.grids import cdf, histograms
from analysis.profile.leaf import CUTOFFS, NORM_SHARES, QUANTILES, measure
from analysis.profile.scopes import Scope, distance, scopes_of

COUNTED = ("parameters", "zeros", "not_finite")
MOMENTS = ("mean_abs", "std", "skew", "kurtosis")
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
BIN = 2.0**-7  # a bin's width, of its left edge
DENORMAL_BIN = 2.0**-133


def neighbourhood(value):
    """A float32, the floats next to it, and all of them negative."""
    value = np.float32(value)
    near = [np.nextafter(value, np.float32(-np.inf)), value, np.nextafter(value, np.float32(9))]
    return [float(sign * v) for v in near for sign in (1, -1)]


few = settings(max_examples=40)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
ordinary = st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
zeros = st.sampled_from([0.0, -0.0])
integers = st.integers(-3, 3).map(float)
denormal = st.integers(-(2**23) + 1, 2**23 - 1).map(lambda n: n * 2.0**-149)
huge = st.sampled_from([3.4028234663852886e38, -3.4028234663852886e38, 3e38, -1e38])
at_cutoffs = st.sampled_from([v for cut in CUTOFFS.values() for v in neighbourhood(cut)])
at_edges = st.sampled_from(
    [v for e in (2.0**-120, 2.0**-20, 0.0078125, 1.0078125, 96.5) for v in neighbourhood(e)]
)
adversarial = st.one_of(finite, zeros, integers, denormal, huge, at_cutoffs, at_edges)
normal_or_zero = st.one_of(ordinary, zeros, integers, at_cutoffs, at_edges)
not_finite = st.sampled_from([np.nan, -np.nan, np.inf, -np.inf])
with_gaps = st.one_of(adversarial, not_finite)


@st.composite
def repeated(draw, elements, max_size):
    """Arrays of a few values, each many times."""
    pool = np.array(draw(st.lists(elements, min_size=1, max_size=4)), np.float32)
    return pool[draw(hnp.arrays(np.int64, st.integers(1, max_size), elements=st.integers(0, 3)))
                % pool.size]  # fmt: skip


def arrays(elements, min_size=0, max_size=60):
    return st.one_of(
        hnp.arrays(np.float32, st.integers(min_size, max_size), elements=elements),
        repeated(elements, max_size),
    )


def normal(size=20_000, scale=0.02, seed=0):
    return (scale * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def trained():
    """Weights as a layer may have them: two scales, exact zeros, outliers."""
    values = np.concatenate([normal(30_000), normal(3_000, 0.3, seed=1), normal(9, 5, seed=2)])
    values[::7] = 0
    return values


DISTRIBUTIONS = [
    normal(),
    normal() ** 3,
    trained(),
    np.abs(normal(scale=10)),
    np.random.default_rng(1).uniform(-1, 5, 5000).astype(np.float32),
    np.random.default_rng(2).exponential(1e-20, 5000).astype(np.float32),
    np.random.default_rng(3).normal(1e4, 1e-1, 5000).astype(np.float32),
    (1e30 * normal()).astype(np.float32),
    (1e-40 * normal(scale=1)).astype(np.float32),
    np.round(normal(5001, scale=2)),
]


def finite_of(values):
    """The finite ones, exactly, as float64."""
    return values[np.isfinite(values)].astype(np.float64)


def exact_moments(values):
    """Mean |w|, std, skew and kurtosis in exact fractions."""
    exact = [Fraction(float(v)) for v in values]
    mean = sum(exact) / len(exact)
    second, third, fourth = (
        float(sum((v - mean) ** power for v in exact) / len(exact)) for power in (2, 3, 4)
    )
    row = {"mean_abs": float(sum(map(abs, exact)) / len(exact)), "std": math.sqrt(second)}
    if not second:
        return row | {"skew": None, "kurtosis": None}
    return row | {"skew": third / second**1.5, "kurtosis": fourth / second**2 - 3}


def assert_moments(row, expected, rel=1e-9):
    for name in ("mean_abs", "std"):
        assert row[name] == pytest.approx(expected[name], rel=rel, abs=0), name
    for name in ("skew", "kurtosis"):
        if expected[name] is None:
            assert row[name] is None
        else:
            assert row[name] == pytest.approx(expected[name], rel=rel, abs=rel), name


def assert_smallest_holding(number, share, values):
    """`number` of the largest weights hold the share of the squares, and one fewer do not."""
    squares = sorted((Fraction(float(v)) ** 2 for v in values), reverse=True)
    held = list(itertools.accumulate(squares, initial=Fraction(0)))
    target, tie = Fraction(share) * held[-1], Fraction(1, 10**12)
    assert held[number] >= target * (1 - tie)
    assert held[number - 1] <= target * (1 + tie)


# ---------------------------------------------------------------- statistics of a leaf


@pytest.mark.parametrize("values", DISTRIBUTIONS)
def test_statistics_are_those_of_numpy_and_scipy(values):
    exact, row = values.astype(np.float64), statistics(values)
    assert row["parameters"] == values.size
    assert row["zeros"] == np.sum(exact == 0)
    assert row["not_finite"] == 0
    assert row["mean_abs"] == pytest.approx(np.abs(exact).mean(), rel=1e-12, abs=0)
    assert row["std"] == pytest.approx(exact.std(), rel=1e-9, abs=0)
    scaled = exact / exact.std()  # scipy's own sums of tiny weights would vanish
    assert row["skew"] == pytest.approx(scipy.stats.skew(scaled), rel=1e-6, abs=1e-9)
    assert row["kurtosis"] == pytest.approx(scipy.stats.kurtosis(scaled), rel=1e-6, abs=1e-9)
    for name, q in QUANTILES.items():
        assert row[name] == pytest.approx(np.quantile(exact, q), rel=1e-12, abs=0)
    for name, cut in CUTOFFS.items():
        assert row[name] == np.mean(np.abs(exact) < cut)
    assert row["above_std"] == pytest.approx(np.mean(np.abs(exact) > exact.std()), abs=1e-15)
    from_largest = np.cumsum(np.sort(exact**2)[::-1])
    for name, share in NORM_SHARES.items():
        number = row[name] * values.size
        expected = 1 + int(np.searchsorted(from_largest, share * from_largest[-1]))
        assert number == pytest.approx(expected, abs=1.001)  # where sums tie, one may be lost


def test_columns_are_named_after_what_they_hold():
    row = statistics(normal())
    assert {name: int(name[1:]) / 100 for name in QUANTILES} == QUANTILES
    assert {name: float(name.removeprefix("below_")) for name in CUTOFFS} == CUTOFFS
    assert {name: int(name.removeprefix("norm_")) / 100 for name in NORM_SHARES} == NORM_SHARES
    assert [*row] == [*COUNTED, *MOMENTS, *QUANTILES, *CUTOFFS, "above_std", *NORM_SHARES]


@few
@given(values=arrays(with_gaps))
def test_counts_are_right_whatever_the_values(values):
    row = statistics(values)
    assert row["parameters"] == values.size
    assert row["zeros"] == sum(1 for v in values if v == 0)
    assert row["not_finite"] == sum(1 for v in values if not np.isfinite(v))


@given(values=arrays(adversarial, min_size=1))
def test_moments_are_those_of_exact_fractions(values):
    assert_moments(statistics(values), exact_moments(values))


@given(values=arrays(adversarial, min_size=1))
def test_quantiles_are_those_of_numpy(values):
    exact, row = values.astype(np.float64), statistics(values)
    for name, q in QUANTILES.items():
        rounding = 1e-14 * np.abs(exact).max()  # of two weights that cancel
        assert row[name] == pytest.approx(np.quantile(exact, q), rel=1e-12, abs=rounding)


@given(values=arrays(with_gaps, min_size=1))
def test_fractions_are_those_of_counting(values):
    magnitude, row = np.abs(finite_of(values)), statistics(values)
    if not magnitude.size:
        return
    for name, cut in CUTOFFS.items():
        assert row[name] == np.mean(magnitude < cut)
    assert row["above_std"] == pytest.approx(np.mean(magnitude > row["std"]), abs=1e-15)


@given(values=arrays(adversarial, min_size=1))
def test_shares_of_the_norm_take_the_fewest_weights_that_hold_them(values):
    row = statistics(values)
    for name, share in NORM_SHARES.items():
        if not values.any():
            assert row[name] is None
        else:
            number = round(row[name] * values.size)
            assert row[name] == number / values.size
            assert_smallest_holding(number, share, values)


@pytest.mark.parametrize(
    ("values", "norm_50", "norm_90"),
    [
        ([5.0], 1, 1),
        ([1.0] * 10, 5, 9),
        ([1.0, -1.0, 1.0, -1.0], 2, 4),
        ([3.0, 0.0, 0.0, 0.0], 1, 1),
        ([3.0, 1.0, 1.0, 0.0], 1, 2),
        ([1e-45, 0.0], 1, 1),
        ([3e38, -3e38, 1.0], 1, 2),
    ],
)
def test_shares_of_the_norm_of_some_weights(values, norm_50, norm_90):
    row = statistics(np.array(values, np.float32))
    assert row["norm_50"] * len(values) == pytest.approx(norm_50)
    assert row["norm_90"] * len(values) == pytest.approx(norm_90)


@given(values=arrays(with_gaps, min_size=1))
def test_what_is_not_finite_is_left_out_of_everything_else(values):
    with_them, without = statistics(values), statistics(values[np.isfinite(values)])
    for name in with_them.keys() - {"parameters", "not_finite", "above_std", *MOMENTS}:
        assert with_them[name] == without[name]
    if with_them["std"] is not None:
        assert_moments(with_them, without)


@few
@given(values=arrays(adversarial, min_size=1))
def test_every_statistic_of_finite_weights_is_finite_or_void(values):
    row = statistics(values)
    assert all(value is None or np.isfinite(value) for value in row.values())
    quantiles = np.array([row[name] for name in QUANTILES])
    rounding = 1e-14 * np.abs(values.astype(np.float64)).max()
    assert (np.diff(quantiles) >= -rounding).all()
    assert values.min() - rounding <= quantiles[0]
    assert quantiles[-1] <= values.max() + rounding
    below = [row[name] for name in CUTOFFS]
    assert below == sorted(below)
    assert all(0 <= share <= 1 for share in (*below, row["above_std"]))


@few
@given(values=arrays(ordinary, min_size=2))
def test_a_change_of_sign_mirrors_the_statistics(values):
    row, mirrored = statistics(values), statistics(-values)
    for name in ("parameters", "zeros", "mean_abs", "std", *CUTOFFS, "above_std", *NORM_SHARES):
        assert row[name] == mirrored[name]
    rounding = 1e-14 * float(np.abs(values).max())
    assert mirrored["q50"] == pytest.approx(-row["q50"], rel=1e-12, abs=rounding)
    assert mirrored["q05"] == pytest.approx(-row["q95"], rel=1e-12, abs=rounding)
    if row["skew"] is not None:
        assert mirrored["skew"] == pytest.approx(-row["skew"])


@given(value=adversarial, size=st.integers(1, 100))
def test_a_constant_has_no_shape(value, size):
    row = statistics(np.full(size, value, np.float32))
    assert row["std"] == 0
    assert row["skew"] is None
    assert row["kurtosis"] is None
    assert row["q01"] == row["q99"] == np.float32(value)
    assert row["mean_abs"] == abs(np.float32(value))
    assert row["above_std"] == (value != 0)


@pytest.mark.parametrize(
    "values", [np.zeros(0, np.float32), np.array([np.nan, np.inf, -np.inf], np.float32)]
)
def test_statistics_of_nothing_are_void(values):
    row = statistics(values)
    assert row["parameters"] == row["not_finite"] == values.size
    assert row["zeros"] == 0
    assert all(row[name] is None for name in row.keys() - set(COUNTED))


@pytest.mark.parametrize(("name", "cut"), CUTOFFS.items())
def test_a_cutoff_itself_is_not_below_the_cutoff(name, cut):
    """A cutoff that is no float32 lies between two of them."""
    nearest = np.float32(cut)
    values = np.array([nearest, -nearest, nearest / 2], np.float32)
    below = 1 if float(nearest) >= cut else 3
    assert statistics(values)[name] == below / 3


def test_weights_of_just_the_standard_deviation_are_not_above_it():
    assert statistics(np.array([1.0, -1.0], np.float32))["above_std"] == 0
    assert statistics(np.array([0.0, 2.0, 0.0, -2.0, 0.0], np.float32))["above_std"] == 0.4


def test_the_shape_of_the_array_does_not_matter():
    values = normal(600)
    assert statistics(values.reshape(20, 30)) == statistics(values)
    assert statistics(values.reshape(20, 30)[:, ::2]) == statistics(values[::2])


def test_a_long_sum_keeps_its_precision():
    """In float32 the mean of 2²⁰ weights around 1000 would be off in the third digit of std."""
    values = (1000 + normal(1 << 20, scale=0.01)).astype(np.float32)
    assert statistics(values)["std"] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)


@given(value=st.floats(0, 1e38), near=st.booleans())
def test_thresholds_part_the_floats_at_the_cutoff(value, near):
    cutoff = float(np.float32(value)) if near else value
    for threshold, is_below in (
        (bits.threshold_bits(cutoff), lambda x: x < cutoff),
        (bits.threshold_bits_above(cutoff), lambda x: x <= cutoff),
    ):
        around = np.arange(max(0, threshold - 2), threshold + 3, dtype=np.uint32)
        for code, x in zip(around, around.view(np.float32).astype(np.float64), strict=True):
            assert is_below(x) == (code < threshold)


# ---------------------------------------------------------------- read in many blocks


def pieces(values, cuts):
    return [piece.copy() for piece in np.split(values, sorted(cut % values.size for cut in cuts))]


def assert_same(row, expected):
    assert [*row] == [*expected]
    for name in row.keys() - {*MOMENTS, "above_std"}:
        assert row[name] == expected[name], name
    assert_moments(row, expected)


@given(
    values=arrays(with_gaps, min_size=1),
    cuts=st.lists(st.integers(0, 100), max_size=6, unique=True),
)
def test_blocks_of_any_sizes_give_the_same_statistics(values, cuts):
    parts = pieces(values, cuts)
    row, whole = measure(lambda: parts).row, statistics(values)
    for name in row.keys() - {*MOMENTS, "above_std"}:
        assert row[name] == whole[name], name
    if row["std"] is not None:
        assert_moments(row, whole)
        magnitude = np.abs(finite_of(values))
        assert row["above_std"] == pytest.approx(np.mean(magnitude > row["std"]), abs=1e-15)


@pytest.mark.parametrize("size", [1, 7, 4095, 4097, 1 << 14, (1 << 14) + 1])
@pytest.mark.parametrize("values", [trained(), np.round(normal(20_001, scale=2))])
def test_large_arrays_in_odd_blocks_give_the_same_statistics(values, size):
    values = values[: 300 * size]
    parts = np.split(values, range(size, values.size, size))
    row = measure(lambda: iter(parts)).row
    assert_same(row, statistics(values))
    assert row["above_std"] == pytest.approx(statistics(values)["above_std"], abs=1e-12)


def test_no_blocks_at_all_are_a_leaf_of_nothing():
    assert measure(list).row == statistics(np.zeros(0, np.float32))


def test_blocks_are_read_again_in_the_same_buffer():
    """As from a file: one buffer, filled anew for each block."""
    values, buffer = trained(), np.empty(1001, np.float32)

    def blocks():
        for start in range(0, values.size, buffer.size):
            held = values[start : start + buffer.size]
            buffer[: held.size] = held
            yield buffer[: held.size]

    assert_same(measure(blocks).row, statistics(values))


def test_what_is_not_finite_before_all_others_costs_no_precision():
    values = (1000 + normal(5000, scale=0.01)).astype(np.float32)
    spoilt = np.concatenate([np.full(5000, np.nan, np.float32), values])
    for blocks in ([spoilt], np.split(spoilt, [3000])):
        row = measure(lambda blocks=blocks: blocks).row
        assert_moments(row, statistics(values))


# ---------------------------------------------------------------- scopes


def scope(*leaves):
    added = Scope()
    for values in leaves:
        added.add(measure(in_memory(values)))
    return added


several = st.lists(arrays(with_gaps), min_size=2, max_size=4)


@few
@given(leaves=several)
def test_additive_statistics_of_a_scope_are_those_of_all_its_weights(leaves):
    row, together = scope(*leaves).row(), np.concatenate(leaves)
    whole = statistics(together)
    for name in (*COUNTED, *CUTOFFS):
        assert row[name] == whole[name], name
    assert [*row] == [*whole]
    if not finite_of(together).size:
        assert all(row[name] is None for name in row.keys() - set(COUNTED))
    else:
        assert_moments(row, exact_moments(finite_of(together)))


@few
@given(leaves=several)
def test_counts_and_squares_of_a_scope_are_those_of_all_its_weights(leaves):
    added, whole = scope(*leaves), scope(np.concatenate(leaves))
    np.testing.assert_array_equal(added.counts, whole.counts)
    np.testing.assert_allclose(added.squares, whole.squares, rtol=1e-12)
    assert added.zeros == whole.zeros
    assert added.counts.sum() == sum(values.size for values in leaves)


@few
@given(values=arrays(with_gaps))
def test_a_scope_of_one_leaf_has_the_leafs_statistics(values):
    assert scope(values).row() == statistics(values)


@few
@given(leaves=st.lists(arrays(with_gaps, min_size=1), min_size=2, max_size=4))
def test_quantiles_of_a_scope_lie_within_a_bin_of_their_neighbours(leaves):
    row, ordered = scope(*leaves).row(), np.sort(finite_of(np.concatenate(leaves)))
    if not ordered.size:
        return
    for name, q in QUANTILES.items():
        rank = q * (ordered.size - 1)
        low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
        below, above = (max(BIN * abs(v), DENORMAL_BIN) for v in (low, high))
        assert low - below <= row[name] <= high + above, name


@few
@given(leaves=st.lists(arrays(normal_or_zero, min_size=1), min_size=2, max_size=4))
def test_shares_of_the_norm_of_a_scope_are_off_by_a_bin_at_most(leaves):
    row, exact = scope(*leaves).row(), statistics(np.concatenate(leaves))
    size = sum(values.size for values in leaves)
    for name in NORM_SHARES:
        if exact[name] is None:
            assert row[name] is None
        else:
            assert 0 < row[name] <= 1
            assert row[name] * size == pytest.approx(exact[name] * size, abs=1 + 2 * BIN * size)


@pytest.mark.parametrize(
    "leaves",
    [
        (normal(), normal(5000, 0.3, seed=1)),
        (normal(seed=2), normal(seed=3) + np.float32(0.05), np.abs(normal(2000, seed=4))),
        (trained(), trained() * np.float32(1e-10), np.float32(1) + normal(4000)),
    ],
)
def test_quantiles_and_shares_of_a_large_scope_are_near_the_truth(leaves):
    row, together = scope(*leaves).row(), np.concatenate(leaves).astype(np.float64)
    exact = statistics(together)
    for name, q in QUANTILES.items():
        nothing = DENORMAL_BIN  # what a quantile of exactly zero may be off
        assert row[name] == pytest.approx(np.quantile(together, q), rel=0.004, abs=nothing)
    for name in NORM_SHARES:
        assert row[name] == pytest.approx(exact[name], rel=0.01)


def test_a_scope_of_empty_leaves_is_void():
    row = scope(np.zeros(0, np.float32), np.array([np.nan], np.float32)).row()
    assert (row["parameters"], row["not_finite"], row["zeros"]) == (1, 1, 0)
    assert all(row[name] is None for name in row.keys() - set(COUNTED))


def test_an_empty_leaf_adds_nothing_to_a_scope():
    values, nothing = normal(), np.zeros(0, np.float32)
    assert_moments(scope(values, nothing).row(), statistics(values))
    assert_moments(scope(nothing, values).row(), statistics(values))


def test_quantiles_of_a_scope_of_zeros_are_zero():
    row = scope(np.zeros(100, np.float32), -np.zeros(50, np.float32), normal(3)).row()
    assert {row[name] for name in ("q05", "q25", "q50", "q75", "q95")} == {0.0}


def test_weights_of_a_scope_count_against_the_deviation_of_their_own_leaf():
    wide, narrow = normal(5000, scale=1.0), normal(5000, scale=0.01, seed=1)
    each = [statistics(values)["above_std"] for values in (wide, narrow)]
    assert scope(wide, narrow).row()["above_std"] == pytest.approx(np.mean(each), abs=1e-12)


def test_scopes_are_called_after_part_layer_and_kind():
    query = naming.weight("bert.encoder.layer.3.attention.self.query.weight")
    assert scopes_of(query) == [
        *("model", "part:encoder", "layer:encoder:3", "kind:attention query", "prunable")
    ]
    assert scopes_of(naming.weight("bert.encoder.layer.3.output.dense.bias"))[-1] == "kind:bias"
    outside = naming.weight("bert.embeddings.word_embeddings.weight")
    assert scopes_of(outside) == ["model", "part:embedding", "kind:token embedding"]


# ---------------------------------------------------------------- distances


def counts_of(values):
    return scope(values).counts


def farthest_at_edges(one, other):
    """The largest difference of the fractions below each edge of a bin."""
    edges = bits.magnitude_edges()
    below = [np.searchsorted(np.sort(np.abs(finite_of(v))), edges) for v in (one, other)]
    return np.abs(below[0] / finite_of(one).size - below[1] / finite_of(other).size).max()


@few
@given(one=arrays(with_gaps), other=arrays(with_gaps))
def test_a_distance_is_the_largest_difference_at_the_edges_of_bins(one, other):
    a, b = counts_of(one), counts_of(other)
    found = distance(a, b)
    if not finite_of(one).size or not finite_of(other).size:
        assert found is None
        return
    assert found == pytest.approx(farthest_at_edges(one, other), abs=1e-12)
    assert found == distance(b, a)
    assert 0 <= found <= 1
    assert distance(a, a) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [(normal(2000), normal(3000, 0.03, seed=1)), (trained(), normal()), (normal(5), -normal(500))],
)
def test_a_distance_between_weights_at_edges_is_scipys(one, other):
    one, other = ((v.view(np.uint32) >> 16 << 16).view(np.float32) for v in (one, other))
    expected = scipy.stats.ks_2samp(np.abs(one), np.abs(other), method="asymp").statistic
    assert distance(counts_of(one), counts_of(other)) == pytest.approx(expected, abs=1e-12)


def test_a_distance_does_not_see_signs_or_how_many_there_are():
    assert distance(counts_of(normal()), counts_of(-np.tile(normal(), 3))) == pytest.approx(0)


def test_the_distance_of_disjoint_weights_is_one():
    assert distance(counts_of(normal(scale=1e-6)), counts_of(1 + np.abs(normal()))) == 1


# ---------------------------------------------------------------- histograms


def histograms_of(values):
    held = scope(values)
    return histograms(held.counts, held.zeros)


def cdf_of(values):
    return cdf(counts_of(values))


def on(rows, scale):
    return [row for row in rows if row["scale"] == scale]


def edges_of(rows):
    return np.array([rows[0]["left"], *(row["right"] for row in rows)])


def assert_histograms_count(values):
    """Each side of zero on the linear scale, and |w| on the logarithmic one, as numpy counts."""
    good, rows = finite_of(values), histograms_of(values)
    linear, decades = on(rows, "linear"), on(rows, "log10")
    edges, half = edges_of(linear), len(linear) // 2
    np.testing.assert_array_equal(edges, -edges[::-1])
    negative = np.signbit(good)
    for side, counted in (
        (good[~negative], linear[half:]),
        (-good[negative], linear[:half][::-1]),
    ):
        expected, _ = np.histogram(side, edges[half:])
        assert [row["count"] for row in counted] == expected.tolist()
    edges, magnitude = edges_of(decades), np.abs(good[good != 0])
    edges[0], edges[-1] = 0, np.inf  # the outermost hold what is beyond them
    expected, _ = np.histogram(magnitude, edges)
    assert [row["count"] for row in decades] == expected.tolist()


@few
@given(values=arrays(with_gaps, min_size=1))
def test_counts_of_histograms_are_those_of_counting(values):
    if finite_of(values).size:
        assert_histograms_count(values)


@pytest.mark.parametrize("values", DISTRIBUTIONS)
def test_counts_of_large_histograms_are_those_of_counting(values):
    assert_histograms_count(values)


def test_histograms_of_weights_off_the_edges_are_numpys():
    values = normal(5000)
    linear = on(histograms_of(values), "linear")
    expected, _ = np.histogram(values.astype(np.float64), edges_of(linear))
    assert [row["count"] for row in linear] == expected.tolist()


@few
@given(values=arrays(with_gaps, min_size=1))
def test_every_finite_weight_is_counted_once_and_zeros_not_on_the_log_scale(values):
    rows, good = histograms_of(values), finite_of(values)
    assert sum(row["count"] for row in on(rows, "linear")) == good.size
    assert sum(row["count"] for row in on(rows, "log10")) == np.count_nonzero(good)
    assert all(row["count"] >= 0 for row in rows)


@few
@given(values=arrays(adversarial, min_size=1))
def test_bins_join_without_gaps_and_in_order(values):
    for scale in ("linear", "log10"):
        listed = on(histograms_of(values), scale)
        assert all(row["left"] < row["right"] for row in listed)
        assert all(a["right"] == b["left"] for a, b in itertools.pairwise(listed))


@few
@given(values=arrays(adversarial, min_size=1))
def test_the_linear_scale_holds_the_smallest_and_the_largest_weight(values):
    edges = edges_of(on(histograms_of(values), "linear"))
    assert edges[0] <= values.min() <= values.max() <= edges[-1]


def test_the_linear_scale_reaches_the_outliers():
    values = np.append(normal(5000), np.array([9, -7], np.float32))
    listed = on(histograms_of(values), "linear")
    assert listed[-1]["right"] == pytest.approx(9, rel=BIN)
    assert listed[-1]["count"] >= 1
    assert listed[1]["right"] - listed[1]["left"] < 0.01


def test_the_log_scale_has_bins_of_a_tenth_of_a_decade():
    steps = np.diff(np.log10(edges_of(on(histograms_of(normal()), "log10"))))
    np.testing.assert_allclose(steps, 0.1, atol=np.log10(1 + BIN))


EXTREMES = [
    [0.0], [-0.0], [1.0], [-3.0], [0.0, 0.0], [0.0, -0.0], [1e-45], [3.4e38, -3.4e38],
    [3.4028234663852886e38], [1e-30, 1e30], [1e-7, 1e2], [100.0, -100.0, 101.0],
]  # fmt: skip


@pytest.mark.parametrize("values", EXTREMES)
def test_extreme_weights_have_histograms_and_cdfs(values):
    array = np.array(values, np.float32)
    assert_histograms_count(array)
    assert sum(row["count"] for row in on(histograms_of(array), "linear")) == array.size
    assert_cdf_counts(array)
    assert cdf_of(array)


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf]])
def test_nothing_has_no_histogram_and_no_cdf(values):
    array = np.array(values, np.float32)
    assert histograms_of(array) == cdf_of(array) == []


# ---------------------------------------------------------------- CDFs


def assert_cdf_counts(values):
    magnitude = np.sort(np.abs(finite_of(values)))
    for row in cdf_of(values):
        below = int(np.searchsorted(magnitude, row["left"]))
        assert row["fraction"] == below / magnitude.size


@few
@given(values=arrays(with_gaps, min_size=1))
def test_a_cdf_is_the_fraction_counted_below_each_cutoff(values):
    assert_cdf_counts(values)


@pytest.mark.parametrize("values", DISTRIBUTIONS)
def test_a_cdf_of_many_weights_is_the_fraction_counted_below_each_cutoff(values):
    assert_cdf_counts(values)


@few
@given(values=arrays(adversarial, min_size=1))
def test_a_cdf_rises_with_its_cutoffs(values):
    for scale in ("linear", "log10"):
        listed = on(cdf_of(values), scale)
        lefts, fractions = ([row[key] for row in listed] for key in ("left", "fraction"))
        assert lefts == sorted(set(lefts))
        assert fractions == sorted(fractions)
        assert all(0 <= fraction <= 1 for fraction in fractions)


def test_a_cdf_begins_at_nothing_and_ends_at_nearly_all():
    listed = on(cdf_of(normal()), "linear")
    assert (listed[0]["left"], listed[0]["fraction"]) == (0, 0)
    assert listed[-1]["fraction"] >= 0.998


def test_the_median_of_a_normal_is_where_it_should_be():
    listed = on(cdf_of(normal(100_000, scale=1.0)), "linear")
    fractions = np.interp(0.6745, [r["left"] for r in listed], [r["fraction"] for r in listed])
    assert fractions == pytest.approx(0.5, abs=0.01)
