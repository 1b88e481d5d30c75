"""Selection within each matrix, against sorting; of rows see the methods' contract."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pruning.methods import magnitude_layer
from analysis.pruning.scope import Scope
from analysis.pruning.selection import select

shapes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=1, max_size=4)


@settings(max_examples=50)
@given(shapes, st.integers(0, 999), st.floats(0, 1))
def test_the_smallest_go_and_of_equal_ones_the_first_and_the_total_is_exact(sizes, seed, sparsity):
    chance = np.random.default_rng(seed)  # small whole numbers, so that many are equal
    weights = {f"t{i}": chance.integers(-4, 5, s).astype(np.float32) for i, s in enumerate(sizes)}
    before = {name: array.copy() for name, array in weights.items()}
    some = {name: chance.integers(0, a.size + 1, 1) for name, a in weights.items()}
    (alike,) = select(magnitude_layer, Scope(weights, frozenset({"t0"})), [sparsity])
    (own,) = select(magnitude_layer, Scope(weights), [sparsity], lambda level, sizes: some)
    gone = {name: int((~mask).sum()) for name, mask in alike.masks.items()}
    assert sum(gone.values()) == round(sparsity * sum(a.size for a in weights.values()))
    assert all(abs(gone[name] - sparsity * a.size) <= 1 for name, a in weights.items())
    for masks, counts in ((alike.masks, gone), (own.masks, some)):
        for name, count in counts.items():
            keep = np.ones(weights[name].size, bool)
            keep[
                np.argsort(np.abs(weights[name]).reshape(-1), kind="stable")[: int(np.sum(count))]
            ] = False
            np.testing.assert_array_equal(masks[name], keep.reshape(weights[name].shape))
    assert all(np.array_equal(weights[name], before[name]) for name in weights)
