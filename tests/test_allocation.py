"""Sparsities by measured losses: exact totals, the least loss that a fine grid can find."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.pruning.allocation import BEYOND, MOST, allocate, counts

STEP = 0.02  # of the grid of brute force: MOST is 49 steps
FLAT = 1e-6
NEAR = 1e-5  # what the least slopes may add up to

losses_at = st.floats(0, 2).map(lambda x: round(x, 3))
curves = st.lists(
    st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), losses_at),
    min_size=1,
    max_size=3,
    unique_by=lambda point: point[0],
)
problems = st.dictionaries(
    st.sampled_from("abcde"), st.tuples(st.integers(1, 10_000), curves), min_size=1
).map(lambda found: ({k: n for k, (n, _) in found.items()}, {k: c for k, (_, c) in found.items()}))
totals = st.floats(0, MOST)


def total(sizes, shares):
    return sum(sizes[name] * shares[name] for name in sizes) / sum(sizes.values())


def under(points):
    """The greatest convex function under the points, by trying every line between two of them."""
    known = [(0.0, 0.0), *sorted(points)]
    rise = known[-1][1] / known[-1][0]
    known.append((MOST, known[-1][1] + BEYOND * max(rise, FLAT) * (MOST - known[-1][0])))

    def at(x):
        return min(
            a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0])
            for a, b in itertools.combinations(known, 2)
            if a[0] <= x <= b[0]
        )

    return at


def predicted(losses, shares):
    return sum(under(losses[name])(min(MOST, max(0.0, shares[name]))) for name in losses)


# ---------------------------------------------------------------- shares


@given(problem=problems, sparsity=totals)
def test_shares_make_exactly_the_total_and_lie_between_zero_and_the_most(problem, sparsity):
    sizes, losses = problem
    shares = allocate(sizes, losses, sparsity)
    assert shares.keys() == sizes.keys()
    assert total(sizes, shares) == pytest.approx(sparsity, abs=1e-9)
    assert all(0 <= share <= MOST + 1e-12 for share in shares.values())


@given(problem=problems, pair=st.tuples(totals, totals))
def test_no_share_falls_when_the_total_grows(problem, pair):
    less, more = (allocate(*problem, sparsity) for sparsity in sorted(pair))
    assert all(less[name] <= more[name] + 1e-9 for name in less)


@given(names=st.sets(st.sampled_from("abcd"), min_size=1), curve=curves, sparsity=totals)
def test_groups_of_one_size_that_lose_alike_share_alike(names, curve, sparsity):
    shares = allocate(dict.fromkeys(names, 70), dict.fromkeys(names, curve), sparsity)
    assert list(shares.values()) == pytest.approx([sparsity] * len(names), abs=1e-9)


def test_of_two_groups_that_lose_alike_the_larger_goes_first_as_its_weights_cost_less():
    losses = {"small": [(0.5, 0.2)], "large": [(0.5, 0.2)]}
    shares = allocate({"small": 100, "large": 300}, losses, 0.3)
    assert shares == pytest.approx({"small": 0.0, "large": 0.4})


def test_where_nothing_was_lost_or_measured_all_share_alike():
    sizes = {"a": 10, "b": 30}
    for losses in ({"a": [(0.5, 0.0)], "b": [(0.5, 0.0)]}, {"a": [], "b": [(0.99, 1.0)]}):
        assert allocate(sizes, losses, 0.6) == pytest.approx({"a": 0.6, "b": 0.6})


def test_what_costs_nothing_goes_first_and_the_most_is_never_passed():
    losses = {"cheap": [(0.5, 0.0), (0.9, 0.0)], "dear": [(0.5, 0.4), (0.9, 1.0)]}
    shares = allocate({"cheap": 100, "dear": 100}, losses, 0.4)
    assert shares == pytest.approx({"cheap": 0.8, "dear": 0.0})
    shares = allocate({"cheap": 100, "dear": 100}, losses, 0.6)
    assert shares == pytest.approx({"cheap": MOST, "dear": 1.2 - MOST})


def test_a_gain_counts_as_no_loss():
    losses = {"a": [(0.5, -1.0)], "b": [(0.5, 0.0)]}
    assert allocate({"a": 5, "b": 5}, losses, 0.3) == pytest.approx({"a": 0.3, "b": 0.3})


@given(problem=problems, sparsity=totals)
def test_shares_lose_no_more_than_the_same_for_all(problem, sparsity):
    sizes, losses = problem
    shares = allocate(sizes, losses, sparsity)
    assert predicted(losses, shares) <= predicted(losses, dict.fromkeys(sizes, sparsity)) + NEAR


@given(
    found=st.lists(curves, min_size=2, max_size=2),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    steps=st.integers(0, 49),
)
def test_no_shares_of_a_fine_grid_lose_less(found, sizes, steps):
    sizes, losses = dict(zip("ab", sizes, strict=True)), dict(zip("ab", found, strict=True))
    sparsity = min(MOST, steps * STEP)
    best = predicted(losses, allocate(sizes, losses, sparsity))
    for i in range(50):
        other = (sparsity * sum(sizes.values()) - sizes["a"] * i * STEP) / sizes["b"]
        if 0 <= other <= MOST:
            assert best <= predicted(losses, {"a": i * STEP, "b": other}) + NEAR


@given(found=st.lists(curves, min_size=3, max_size=3), steps=st.integers(0, 14))
def test_no_shares_of_a_grid_of_three_lose_less(found, steps):
    losses = dict(zip("abc", found, strict=True))
    step = 0.07  # MOST is 14 of them
    best = predicted(losses, allocate(dict.fromkeys(losses, 7), losses, min(MOST, steps * step)))
    tables = [[under(losses[name])(min(MOST, i * step)) for i in range(15)] for name in losses]
    for i, j in itertools.product(range(15), repeat=2):
        k = 3 * steps - i - j
        if 0 <= k <= 14:
            assert best <= tables[0][i] + tables[1][j] + tables[2][k] + NEAR


@pytest.mark.parametrize("sparsity", [-0.1, 0.981, 0.99, 1.0, 2.0, float("nan")])
def test_a_total_that_cannot_be_is_refused(sparsity):
    with pytest.raises(ValueError, match=r"is not between 0 and 0\.98"):
        allocate({"a": 10}, {"a": [(0.5, 0.1)]}, sparsity)


# ---------------------------------------------------------------- whole weights


@given(problem=problems, sparsity=totals)
def test_counts_of_allocated_groups_are_exact_and_fit(problem, sparsity):
    sizes, losses = problem
    found = counts(sizes, allocate(sizes, losses, sparsity), sparsity)
    assert sum(found.values()) == round(sparsity * sum(sizes.values()))
    assert all(0 <= found[name] <= sizes[name] for name in sizes)


@given(
    sizes=st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 5), min_size=1),
    sparsity=st.floats(0, 1),
    data=st.data(),
)
def test_counts_are_exact_and_fit_tiny_tensors_and_any_sparsities(sizes, sparsity, data):
    own = data.draw(st.fixed_dictionaries(dict.fromkeys(sizes, st.floats(0, 1))))
    found = counts(sizes, own, sparsity)
    assert sum(found.values()) == round(sparsity * sum(sizes.values()))
    assert all(0 <= found[name] <= sizes[name] for name in sizes)


@given(tensors=st.lists(st.integers(1, 5000), min_size=1, max_size=20), sparsity=totals)
def test_counts_are_within_one_of_each_tensors_own_share(tensors, sparsity):
    sizes = {f"{i:02d}": size for i, size in enumerate(tensors)}
    found = counts(sizes, dict.fromkeys(sizes, sparsity), sparsity)
    assert all(abs(found[name] - sparsity * sizes[name]) <= 1 + 1e-6 for name in sizes)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.98])
def test_one_tensor_gets_all_and_sparsities_of_zero_do_no_harm(sparsity):
    assert counts({"w": 7}, {"w": sparsity}, sparsity) == {"w": round(7 * sparsity)}
    for sizes in ({"w": 7}, {"v": 3, "w": 3, "x": 1}):
        found = counts(sizes, dict.fromkeys(sizes, 0.0), sparsity)
        assert sum(found.values()) == round(sparsity * sum(sizes.values()))
        assert all(0 <= found[name] <= sizes[name] for name in sizes)


def test_the_order_in_which_tensors_come_does_not_matter():
    sizes = {"b": 5, "a": 9, "c": 2}
    own = {"a": 0.3, "b": 0.7, "c": 0.5}
    backwards = dict(reversed(sizes.items()))
    assert counts(sizes, own, 0.5) == counts(backwards, own, 0.5)
