"""Selection within each matrix and each row, against sorting."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.pruning.rows import keep_largest, keep_largest_by_layer, spread
from analysis.pruning.scope import Scope

shapes = st.tuples(st.integers(1, 6), st.integers(1, 8))


def weights_of(sizes, seed):
    """Small whole numbers, so that many are equal."""
    generator = np.random.default_rng(seed)
    return {f"t{i}": generator.integers(-4, 5, s).astype(np.float32) for i, s in enumerate(sizes)}


def by_sorting(array, count):
    """The mask without the `count` smallest magnitudes, of equal ones the first."""
    keep = np.ones(array.size, bool)
    keep[np.argsort(np.abs(array).reshape(-1), kind="stable")[:count]] = False
    return keep.reshape(array.shape)


@given(st.lists(shapes, min_size=1, max_size=4), st.integers(0, 999), st.data())
def test_the_smallest_of_each_go_as_many_as_are_said(sizes, seed, data):
    weights = weights_of(sizes, seed)
    removed = {n: data.draw(st.integers(0, a.size)) for n, a in weights.items()}
    masks = keep_largest(weights, removed)
    assert list(masks) == list(removed)
    for name, count in removed.items():
        np.testing.assert_array_equal(masks[name], by_sorting(weights[name], count))


@given(st.lists(shapes, min_size=1, max_size=5), st.integers(0, 999), st.floats(0, 1))
def test_by_layer_each_loses_its_share_and_all_together_exactly_theirs(sizes, seed, sparsity):
    weights = weights_of(sizes, seed)
    counts = spread(sparsity, [array.size for array in weights.values()]).tolist()
    masks = keep_largest_by_layer(Scope(weights), sparsity)
    for (name, array), count in zip(weights.items(), counts, strict=True):
        np.testing.assert_array_equal(masks[name], by_sorting(array, count))
    total = sum(array.size for array in weights.values())
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(sparsity * total)


def test_tensors_of_any_shape_and_those_not_named_stay_out():
    weights = weights_of([(7,), (2, 3, 4)], 0)
    before = {name: array.copy() for name, array in weights.items()}
    (mask,) = keep_largest(weights, {"t1": 5}).values()
    assert mask.shape == (2, 3, 4)
    assert int((~mask).sum()) == 5
    for name, array in before.items():
        np.testing.assert_array_equal(weights[name], array)
