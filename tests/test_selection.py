"""Global magnitude selection is exact, against sorting and against torch, whatever the floats."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.pruning.selection import number_removed, smallest_magnitudes

LEVELS = (0.10, 0.50, 0.90, 0.95, 0.99)

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
few_values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3.4e38, 0.5])
tensors = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5),
    elements=st.one_of(floats32, few_values),
)
checkpoints = st.dictionaries(st.text(min_size=1, max_size=3), tensors, min_size=1, max_size=4)
sparsities = st.lists(st.floats(0, 1), min_size=1, max_size=4)


def select(weights, levels=LEVELS):
    return list(smallest_magnitudes(weights, levels))


def removed(selection):
    return sum(int((~mask).sum()) for mask in selection.masks.values())


def by_sorting(weights, sparsity):
    """The plainest way to the same masks: a stable sort of every |w|, tensors by name."""
    names = sorted(weights)
    flat = np.concatenate([np.abs(weights[name]).reshape(-1) for name in names])
    keep = np.ones(flat.size, dtype=bool)
    keep[np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]] = False
    ends = np.cumsum([weights[name].size for name in names])[:-1]
    parts = np.split(keep, ends)
    return {n: p.reshape(weights[n].shape) for n, p in zip(names, parts, strict=True)}


def random_checkpoint(seed=0, scale=0.02):
    generator = np.random.default_rng(seed)
    shapes = {"b.weight": (40, 25), "a.weight": (64, 64), "c": (7,), "d": (3, 4, 5)}
    return {
        name: (scale * generator.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def distinct_checkpoint():
    """Weights of random signs and order of which no two are of one magnitude."""
    generator = np.random.default_rng(1)
    values = generator.permutation(np.linspace(1e-5, 0.1, 5000, dtype=np.float32))
    values *= generator.choice(np.array([-1, 1], np.float32), values.size)
    assert np.unique(np.abs(values)).size == values.size
    return {"a": values[:4096].reshape(64, 64), "b": values[4096:].reshape(-1, 4)}


# ---------------------------------------------------------------- against other ways


@given(weights=checkpoints, levels=sparsities)
def test_masks_are_those_of_a_stable_sort(weights, levels):
    for sparsity, selection in zip(levels, select(weights, levels), strict=True):
        expected = by_sorting(weights, sparsity)
        assert selection.masks.keys() == expected.keys()
        for name, mask in selection.masks.items():
            np.testing.assert_array_equal(mask, expected[name])


@pytest.mark.parametrize("sparsity", LEVELS)
def test_masks_are_those_of_torch_where_nothing_is_tied(sparsity):
    import torch
    from torch.nn.utils import prune

    weights = distinct_checkpoint()
    holders = {name: torch.nn.Module() for name in weights}
    for name, holder in holders.items():
        holder.weight = torch.nn.Parameter(torch.from_numpy(weights[name].copy()))
    prune.global_unstructured(
        [(holder, "weight") for holder in holders.values()],
        pruning_method=prune.L1Unstructured,
        amount=sparsity,
    )
    (selection,) = select(weights, [sparsity])
    for name, holder in holders.items():
        np.testing.assert_array_equal(selection.masks[name], holder.weight_mask.numpy() == 1)


@given(weights=checkpoints, levels=sparsities)
def test_no_kept_magnitude_is_below_a_removed_one(weights, levels):
    for selection in select(weights, levels):
        kept = [np.abs(w)[selection.masks[n]] for n, w in weights.items()]
        gone = [np.abs(w)[~selection.masks[n]] for n, w in weights.items()]
        smallest_kept = min((part.min() for part in kept if part.size), default=np.inf)
        largest_gone = max((part.max() for part in gone if part.size), default=0)
        assert largest_gone <= smallest_kept
        if selection.threshold is not None:
            assert selection.threshold == largest_gone


# ---------------------------------------------------------------- what is promised


@given(weights=checkpoints, levels=sparsities)
def test_exactly_round_of_s_times_n_are_removed(weights, levels):
    total = sum(w.size for w in weights.values())
    for sparsity, selection in zip(levels, select(weights, levels), strict=True):
        assert removed(selection) == round(sparsity * total) == number_removed(sparsity, total)
        assert selection.sparsity == sparsity


@given(weights=checkpoints, levels=sparsities)
def test_higher_levels_remove_what_lower_ones_do_and_more(weights, levels):
    nested = select(weights, sorted(levels))
    for lower, higher in itertools.pairwise(nested):
        for name in weights:
            assert not (higher.masks[name] & ~lower.masks[name]).any()


@given(weights=checkpoints, levels=sparsities)
def test_weights_are_left_as_they_are(weights, levels):
    before = {name: w.tobytes() for name, w in weights.items()}
    for w in weights.values():
        w.setflags(write=False)
    select(weights, levels)
    assert {name: w.tobytes() for name, w in weights.items()} == before


@given(weights=checkpoints, levels=sparsities)
def test_masks_are_booleans_of_the_tensors_shapes(weights, levels):
    for selection in select(weights, levels):
        for name, mask in selection.masks.items():
            assert mask.dtype == np.bool_
            assert mask.shape == weights[name].shape


@given(weights=checkpoints, levels=sparsities)
def test_levels_are_decided_alone_and_in_the_given_order(weights, levels):
    together = select(weights, levels)
    for sparsity, selection in zip(levels, together, strict=True):
        (alone,) = select(weights, [sparsity])
        assert alone.threshold == selection.threshold
        for name in weights:
            np.testing.assert_array_equal(alone.masks[name], selection.masks[name])


@given(weights=checkpoints)
def test_the_order_of_the_mapping_does_not_matter(weights):
    backwards = dict(reversed(weights.items()))
    for one, two in zip(select(weights), select(backwards), strict=True):
        for name in weights:
            np.testing.assert_array_equal(one.masks[name], two.masks[name])


@given(weights=checkpoints, factor=st.sampled_from([-1.0, 2.0, 0.5]))
def test_signs_and_powers_of_two_change_nothing(weights, factor):
    ordinary = {n: np.clip(w, -1e30, 1e30).astype(np.float32) for n, w in weights.items()}
    for w in ordinary.values():
        w[np.abs(w) < 1e-30] = 0  # halving a denormal would round
    scaled = {n: w * np.float32(factor) for n, w in ordinary.items()}
    for one, two in zip(select(ordinary), select(scaled), strict=True):
        for name in weights:
            np.testing.assert_array_equal(one.masks[name], two.masks[name])


def test_a_view_that_is_not_contiguous_is_selected_like_its_copy():
    whole = random_checkpoint()["a.weight"]
    for view in (whole.T, whole[::2, ::3], np.asfortranarray(whole)):
        (one,) = select({"x": view}, [0.5])
        (two,) = select({"x": view.copy(order="C")}, [0.5])
        np.testing.assert_array_equal(one.masks["x"], two.masks["x"])


# ---------------------------------------------------------------- at the edges


def test_nothing_is_removed_at_level_0_and_all_at_level_1():
    weights = random_checkpoint()
    none, everything = select(weights, [0.0, 1.0])
    assert removed(none) == 0
    assert none.threshold is None
    assert removed(everything) == sum(w.size for w in weights.values())


def test_a_level_that_rounds_to_nothing_has_no_threshold():
    (selection,) = select({"x": np.ones(4, np.float32)}, [0.1])
    assert removed(selection) == 0
    assert selection.threshold is None


@pytest.mark.parametrize(("sparsity", "count"), [(0.4, 0), (0.5, 0), (0.6, 1)])
def test_a_single_weight_goes_when_the_count_rounds_to_one(sparsity, count):
    (selection,) = select({"x": np.array([[3.0]], np.float32)}, [sparsity])
    assert removed(selection) == count


@pytest.mark.parametrize(("size", "expected"), [(1, 0), (3, 2), (5, 2), (7, 4), (9, 4)])
def test_halves_round_to_even_as_pythons_round_does(size, expected):
    assert number_removed(0.5, size) == expected


def test_among_equals_the_first_by_name_then_by_position_go():
    weights = {name: np.ones((2, 2), np.float32) for name in ("b", "a", "c")}
    (selection,) = select(weights, [0.5])
    assert not selection.masks["a"].any()
    np.testing.assert_array_equal(selection.masks["b"], [[False, False], [True, True]])
    assert selection.masks["c"].all()
    assert selection.threshold == 1.0


def test_minus_zero_is_zero():
    weights = {"x": np.array([0.0, -0.0, 0.0, -0.0, 1.0], np.float32)}
    (selection,) = select(weights, [0.4])
    np.testing.assert_array_equal(selection.masks["x"], [False, False, True, True, True])
    assert selection.threshold == 0.0


def test_zeros_go_before_the_smallest_denormal():
    smallest = np.float32(1e-45)
    weights = {"x": np.array([smallest, 0, -smallest, 2 * smallest], np.float32)}
    for count, expected in [(1, [1, 0, 1, 1]), (2, [0, 0, 1, 1]), (3, [0, 0, 0, 1])]:
        (selection,) = select(weights, [count / 4])
        np.testing.assert_array_equal(selection.masks["x"], np.array(expected, bool))


def test_neighbouring_floats_are_told_apart():
    base = np.float32(0.1)
    values = [base]
    for _ in range(99):
        values.append(np.nextafter(values[-1], np.float32(1), dtype=np.float32))
    shuffled = np.random.default_rng(0).permutation(np.array(values, np.float32))
    (selection,) = select({"x": shuffled}, [0.37])
    np.testing.assert_array_equal(selection.masks["x"], shuffled > values[36])
    assert selection.threshold == values[36]


def test_the_whole_range_of_floats_is_ordered():
    exponents = np.arange(-149, 128)
    values = np.ldexp(np.float32(1), exponents).astype(np.float32)
    values[::2] *= -1
    for count in (1, 100, 276):
        (selection,) = select({"x": values}, [count / 277])
        np.testing.assert_array_equal(selection.masks["x"], np.arange(277) >= count)


def test_an_empty_tensor_gets_an_empty_mask():
    weights = {"a": np.zeros((0, 4), np.float32), "b": np.array([1, 2], np.float32)}
    (selection,) = select(weights, [0.5])
    assert selection.masks["a"].shape == (0, 4)
    assert removed(selection) == 1


def test_a_scalar_gets_a_scalar_mask():
    (selection,) = select({"a": np.array(1.0, np.float32)}, [1.0])
    assert selection.masks["a"].shape == ()


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_other_types_than_float32_are_refused(dtype):
    """Their bits do not order as float32's do: a wrong mask would be worse than none."""
    with pytest.raises((TypeError, ValueError)):
        select({"x": np.array([4, 3, 2, 1], dtype), "y": np.array([1, 2, 3, 4], dtype)}, [0.5])


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1e-40, 1e-3, 1.0, 1e37]))
def test_many_weights_are_selected_as_by_sorting(seed, scale):
    weights = random_checkpoint(seed, scale)
    for selection in select(weights):
        expected = by_sorting(weights, selection.sparsity)
        for name, mask in selection.masks.items():
            np.testing.assert_array_equal(mask, expected[name])
