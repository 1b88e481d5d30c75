"""The entropy bound is what its formula says, and no file of random weights beats it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.storage.bound import bound_bytes, entropy_bytes
from analysis.storage.dtypes import Spec
from analysis.storage.formats import FORMATS
from analysis.storage.writing import write

tensors = hnp.arrays(
    st.sampled_from([np.float32, np.float16, np.int8]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
)
checkpoints = st.dictionaries(st.sampled_from("abcde"), tensors, min_size=1, max_size=3)


def formula(nonzero, size, itemsize=4):
    p = nonzero / size
    entropy = -sum(x * math.log2(x) for x in (p, 1 - p) if x)
    return size * entropy / 8 + itemsize * nonzero


@pytest.mark.parametrize("nonzero", [0, 1, 37, 500, 999, 1000])
def test_the_bound_is_the_entropy_of_the_positions_and_the_values(nonzero):
    array = np.zeros(1000, np.float32)
    array[:nonzero] = 1.5
    assert bound_bytes({"a": array}) == math.ceil(formula(nonzero, 1000))


def test_the_bound_is_summed_over_tensors():
    """Tensors of unequal density cost less than one of their mean density."""
    full, empty = np.ones(800, np.float32), np.zeros(800, np.float32)
    assert bound_bytes({"a": full, "b": empty}) == 3200
    half = np.concatenate([full, empty])
    assert bound_bytes({"a": half}) == math.ceil(formula(800, 1600))


def test_the_bound_counts_the_bytes_of_a_value():
    array = np.zeros(64, np.float16)
    array[:3] = 1
    assert bound_bytes({"a": array}) == math.ceil(formula(3, 64, itemsize=2))


@pytest.mark.parametrize("weights", [{}, {"a": np.zeros((0, 3), np.float32)}])
def test_the_bound_of_nothing_is_nothing(weights):
    assert bound_bytes(weights) == 0


@given(weights=checkpoints)
def test_the_bound_is_never_above_the_plain_values(weights):
    plain = sum(array.nbytes for array in weights.values())
    assert bound_bytes(weights) <= plain + 1 + math.ceil(0.01 * plain)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", FORMATS)
def test_no_file_of_random_weights_beats_the_bound(tmp_path, name, sparsity):
    """Random bits do not compress, so the bound holds for real files of this size."""
    generator = np.random.default_rng(9)
    weights = np.frombuffer(generator.bytes(40_000), np.uint32).reshape(200, 50).copy()
    weights[generator.random(weights.shape) < sparsity] = 0
    write({"a": weights}, tmp_path / "weights", name)
    assert (tmp_path / "weights").stat().st_size >= bound_bytes({"a": weights})


def test_zero_is_all_bits_zero_in_the_bound_too():
    assert bound_bytes({"a": np.array([-0.0, np.nan, 1], np.float32)}) == 12


def test_truth_values_cost_their_places_alone():
    truths = np.arange(1000) < 250
    assert bound_bytes({"a": truths}) == math.ceil(formula(250, 1000, itemsize=0))


def test_a_tensor_of_an_unknown_type_costs_its_bytes():
    assert entropy_bytes(Spec("F4", (10,), 5), 10) == 5
