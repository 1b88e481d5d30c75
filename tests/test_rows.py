"""Selection within each matrix, against sorting; of rows see the methods' contract."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pruning.rows import keep_largest, keep_largest_by_layer, spread
from analysis.pruning.scope import Scope

shapes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=1, max_size=4)


@settings(max_examples=50)
@given(shapes, st.integers(0, 999), st.floats(0, 1))
def test_the_smallest_go_and_of_equal_ones_the_first_and_the_total_is_exact(sizes, seed, sparsity):
    chance = np.random.default_rng(seed)  # small whole numbers, so that many are equal
    weights = {f"t{i}": chance.integers(-4, 5, s).astype(np.float32) for i, s in enumerate(sizes)}
    before, numbers = {n: a.copy() for n, a in weights.items()}, [a.size for a in weights.values()]
    shares = dict(zip(weights, spread(sparsity, numbers).tolist(), strict=True))
    assert sum(shares.values()) == round(sparsity * sum(numbers))
    assert all(abs(shares[name] - sparsity * a.size) <= 1 for name, a in weights.items())
    some = {name: int(chance.integers(0, a.size + 1)) for name, a in [*weights.items()][1:]}
    by_layer = keep_largest_by_layer(Scope(weights), sparsity)
    for masks, counts in ((by_layer, shares), (keep_largest(weights, some), some)):
        assert masks.keys() == counts.keys()  # those not named stay out
        for name, count in counts.items():
            keep = np.ones(weights[name].size, bool)
            keep[np.argsort(np.abs(weights[name]).reshape(-1), kind="stable")[:count]] = False
            np.testing.assert_array_equal(masks[name], keep.reshape(weights[name].shape))
    assert all(np.array_equal(weights[name], before[name]) for name in weights)
