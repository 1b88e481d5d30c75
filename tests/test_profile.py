"""Statistics, scopes, histograms and CDFs of weights, against numpy and exact fractions."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from leaves import measured, normal, statistics

from analysis.profile import bits
from analysis.profile.grids import cdf, histograms
from analysis.profile.leaf import measure
from analysis.profile.scopes import Scope, distance

COUNTED, MOMENTS = ["parameters", "zeros", "not_finite"], ["mean_abs", "std", "skew", "kurtosis"]
QUANTILES = {f"q{percent:02}": percent / 100 for percent in (1, 5, 25, 50, 75, 95, 99)}
CUTOFFS = {f"below_{cut}": float(cut) for cut in ("1e-3", "1e-2", "1e-1", "1")}
SHARES = {f"norm_{percent}": percent / 100 for percent in (50, 90, 99)}
COLUMNS = [*COUNTED, *MOMENTS, *QUANTILES, *CUTOFFS, "above_std", *SHARES]
LARGEST = 3.4028234663852886e38  # of float32
BIN = 2.0**-7  # a bin's width, of its left edge
DENORMAL_BIN = 2.0**-133


def neighbourhood(value):
    """A float32, the floats next to it, and all of them negative."""
    near = [np.nextafter(np.float32(value), np.float32(end)) for end in (-np.inf, value, np.inf)]
    return [float(sign * v) for v in near for sign in (1, -1)]


edges = [2.0**-120, 2.0**-20, 0.0078125, 1.0078125, 96.5, *CUTOFFS.values()]
elements = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False),
    st.integers(-3, 3).map(float),
    st.integers(-(2**23) + 1, 2**23 - 1).map(lambda n: n * 2.0**-149),  # denormal
    st.sampled_from([v for edge in edges for v in neighbourhood(edge)]),
    st.sampled_from([0.0, -0.0, LARGEST, -LARGEST, 3e38, np.nan, -np.nan, np.inf, -np.inf]),
)
arrays = hnp.arrays(np.float32, st.integers(0, 60), elements=elements)  # some values many times
# weights as a layer may have them: two scales, exact zeros, outliers
TRAINED = np.concatenate([normal(30_000), normal(3_000, 0.3, seed=1), normal(9, 5, seed=2)])
TRAINED[::7] = 0
# in float32 their mean would be off in the third digit of std
UNEVEN = (1000 + normal(1 << 18, scale=0.01)).astype(np.float32)
DISTRIBUTIONS = [
    normal(), normal() ** 3, TRAINED, np.abs(normal(scale=10)), UNEVEN,
    np.concatenate([np.full(5000, np.nan, np.float32), UNEVEN]),  # costs no precision
    np.random.default_rng(1).uniform(-1, 5, 5000).astype(np.float32),
    np.random.default_rng(2).exponential(1e-20, 5000).astype(np.float32),
    (1e30 * normal()).astype(np.float32), (1e-40 * normal(scale=1)).astype(np.float32),
    np.round(normal(5001, scale=2)),
    *(np.array(values, np.float32) for values in ([0.0, -0.0], [1e-45], [LARGEST, -LARGEST], [])),
]  # fmt: skip


def finite_of(values):
    return values[np.isfinite(values)].astype(np.float64)


def moments(good):
    """Mean |w|, std, skew and kurtosis: of few numbers in fractions, of many in float64."""
    exact = np.array([Fraction(v) for v in good], object) if good.size <= 300 else good
    from_mean = exact - exact.sum() / exact.size
    second, third, fourth = (float((from_mean**k).sum() / exact.size) for k in (2, 3, 4))
    row = {"mean_abs": float(np.abs(exact).sum() / exact.size), "std": math.sqrt(second)}
    shape = (third / second**1.5, fourth / second**2 - 3) if second else (None, None)
    return row | dict(zip(("skew", "kurtosis"), shape, strict=True))


def assert_moments(row, good):
    for name, expected in moments(good).items():
        if expected is None:
            assert row[name] is None, name
        else:
            shape = name in ("skew", "kurtosis")
            rel = 1e-6 if shape and good.size > 300 else 1e-9
            assert row[name] == pytest.approx(expected, rel=rel, abs=1e-9 * shape), name


def assert_statistics(row, values):
    """All of a leaf's statistics are those of counting, numpy and exact fractions."""
    good = finite_of(values)
    assert [*row] == COLUMNS
    counts = [values.size, np.sum(values == 0), values.size - good.size]
    assert [row[name] for name in COUNTED] == counts
    if not good.size:
        assert all(row[name] is None for name in COLUMNS[3:])
        return
    assert_moments(row, good)
    magnitude = np.abs(good)
    for name, q in QUANTILES.items():
        rounding = 1e-14 * magnitude.max()  # of two weights that cancel
        assert row[name] == pytest.approx(np.quantile(good, q), rel=1e-12, abs=rounding), name
    for name, cut in CUTOFFS.items():
        assert row[name] == np.mean(magnitude < cut), name
    assert row["above_std"] == pytest.approx(np.mean(magnitude > row["std"]), abs=1e-15)
    held = np.cumsum([0.0, *np.sort(good**2)[::-1]])  # by so many of the largest
    for name, share in SHARES.items():
        if not good.any():
            assert row[name] is None
            continue
        number = round(row[name] * good.size)
        assert row[name] == number / good.size
        assert held[number - 1] / (1 + 1e-12) <= share * held[-1] <= held[number] * (1 + 1e-12)


def scope(*leaves):
    added = Scope()
    for leaf in leaves:
        added.add(leaf)
    return added


def on(rows, scale):
    return [row for row in rows if row["scale"] == scale]


def histogram(values, scale):
    """The edges and the counts of one scale; bins join without a gap."""
    added = scope(measured(values))
    rows = on(histograms(added.counts, added.zeros), scale)
    assert all(a["right"] == b["left"] for a, b in itertools.pairwise(rows))
    edges = np.array([rows[0]["left"], *(row["right"] for row in rows)])
    assert (np.diff(edges) > 0).all()
    return edges, [row["count"] for row in rows]


def assert_counted(values):
    """Histograms and CDFs are numpy's: each side of zero on the linear scale, |w| on the other."""
    good, counts = finite_of(values), scope(measured(values)).counts
    if not good.size:
        assert histograms(counts, 0) == cdf(counts) == []
        return
    edges, counts = histogram(values, "linear")
    half, negative = len(counts) // 2, np.signbit(good)
    np.testing.assert_array_equal(edges, -edges[::-1])
    assert edges[0] <= good.min() <= good.max() <= edges[-1]
    for side, counted in ((good[~negative], counts[half:]), (-good[negative], counts[:half][::-1])):
        assert counted == np.histogram(side, edges[half:])[0].tolist()
    assert sum(counts) == good.size
    edges, counts = histogram(values, "log10")
    np.testing.assert_allclose(np.diff(np.log10(edges)), 0.1, atol=np.log10(1 + BIN))
    np.testing.assert_allclose(edges[[0, -1]], [1e-7, 1e2], rtol=BIN)
    edges[0], edges[-1] = 0, np.inf  # the outermost hold what is beyond them
    assert counts == np.histogram(np.abs(good[good != 0]), edges)[0].tolist()
    rows = cdf(scope(measured(values)).counts)
    lefts = {s: np.array([row["left"] for row in on(rows, s)]) for s in ("linear", "log10")}
    for scale, left in lefts.items():
        assert (np.diff(left) > 0).all()
        below = np.searchsorted(np.sort(np.abs(good)), left) / good.size
        assert [row["fraction"] for row in on(rows, scale)] == below.tolist()
    assert lefts["linear"][0] == 0
    assert np.mean(np.abs(good) < lefts["linear"][-1]) >= 0.998
    np.testing.assert_allclose(lefts["log10"][[0, -1]], [1e-7, 1e2], rtol=BIN)


def in_blocks(values, buffer):
    """As from a file: one buffer, filled anew for each block."""
    for start in range(0, values.size, buffer.size):
        held = buffer[: values.size - start]
        held[:] = values[start : start + buffer.size]
        yield held


def test_statistics_and_counts_of_large_and_of_odd_leaves_are_those_of_numpy():
    assert measure(list).row == statistics([])  # no block at all
    for values in DISTRIBUTIONS:
        assert_statistics(statistics(values), values)
        assert_counted(values)
    for size in (7, 4095, 4097, 1 << 14, (1 << 14) + 1):
        buffer = np.empty(size, np.float32)
        assert_statistics(measure(lambda b=buffer: in_blocks(TRAINED, b)).row, TRAINED)


@settings(max_examples=80)
@given(arrays, st.lists(st.integers(0, 100), max_size=6, unique=True))
def test_statistics_and_counts_of_any_weights_in_any_blocks_are_exact(values, cuts):
    places = sorted(cut % max(1, values.size) for cut in cuts)
    parts = [piece.copy() for piece in np.split(values, places)]
    assert_statistics(measure(lambda: iter(parts)).row, values)
    assert_counted(values)


@settings(max_examples=40)
@given(st.lists(arrays, min_size=2, max_size=4))
def test_a_scope_counts_all_its_weights_exactly_and_quantiles_to_a_bin(parts):
    leaves, together = [measured(values) for values in parts], np.concatenate(parts)
    added, whole, good = scope(*leaves), scope(measured(together)), np.sort(finite_of(together))
    row = added.row()
    assert_statistics(whole.row(), together)  # of one leaf: exact throughout
    np.testing.assert_array_equal(added.counts, whole.counts)
    np.testing.assert_allclose(added.squares, whole.squares, rtol=1e-12)
    assert added.zeros == row["zeros"]
    assert [*row] == COLUMNS
    for name in (*COUNTED, *CUTOFFS):
        assert row[name] == whole.row()[name], name
    if not good.size:
        assert all(row[name] is None for name in COLUMNS[3:])
        return
    assert_moments(row, good)
    above = sum((leaf.row["above_std"] or 0) * leaf.moments.count for leaf in leaves)
    assert row["above_std"] == pytest.approx(above / good.size)  # each by its own deviation
    for name, q in QUANTILES.items():
        rank = q * (good.size - 1)
        low, high = good[math.floor(rank)], good[math.ceil(rank)]
        below, above = (max(BIN * abs(v), DENORMAL_BIN) for v in (low, high))
        assert low - below <= row[name] <= high + above, name


def test_quantiles_and_shares_of_a_large_scope_are_near_the_truth():
    for leaves in (
        (normal(), normal(5000, 0.3, seed=1)),
        (normal(seed=2), normal(seed=3) + np.float32(0.05), np.abs(normal(2000, seed=4))),
        (TRAINED, TRAINED * np.float32(1e-10), np.float32(1) + normal(4000)),
    ):
        row, together = scope(*map(measured, leaves)).row(), np.concatenate(leaves)
        exact = statistics(together)
        for name in QUANTILES:  # or what a quantile of exactly zero may be off
            assert row[name] == pytest.approx(exact[name], rel=0.004, abs=DENORMAL_BIN)
        for name in SHARES:
            assert row[name] == pytest.approx(exact[name], rel=0.01)


@settings(max_examples=40)
@given(st.tuples(arrays, arrays))
def test_a_distance_is_the_largest_difference_at_the_edges_of_bins(pair):
    counts = [scope(measured(v)).counts for v in pair]
    magnitudes = [abs(finite_of(v)) for v in pair]
    found = distance(*counts)
    assert found == distance(*counts[::-1])
    if not all(magnitude.size for magnitude in magnitudes):
        assert found is None
        return
    edges = bits.magnitude_edges()
    one, other = (np.searchsorted(np.sort(m), edges) / m.size for m in magnitudes)
    assert found == pytest.approx(np.abs(one - other).max(), abs=1e-12)
