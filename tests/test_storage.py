"""Formats hold the weights bit for bit, and no file is smaller than the bound allows."""

import math

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from analysis.storage import FORMATS, bound_bytes

every_format = pytest.mark.parametrize("name", FORMATS)

tensors = hnp.arrays(
    st.sampled_from([np.float32, np.float16, np.int8]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
)
checkpoints = st.dictionaries(st.sampled_from("abcde"), tensors, min_size=1, max_size=3)


def checkpoint(sparsity=0.0, size=200):
    generator = np.random.default_rng(0)
    weights = {}
    for name in ("a", "b"):
        values = generator.standard_normal((size, 50)).astype(np.float32)
        values[generator.random(values.shape) < sparsity] = 0
        weights[name] = values
    return weights


def written(name, weights, path):
    FORMATS[name](weights, path)
    return path.read_bytes()


def dense_of(name, content, path):
    """The tensors of a file in a format, read by tools that are not ours."""
    if name.endswith("+zstd"):
        content = zstandard.ZstdDecompressor().decompress(content)
    path.write_bytes(content)
    return load_file(path)


@every_format
@settings(max_examples=30)
@given(weights=checkpoints)
def test_a_file_gives_the_weights_back_bit_for_bit(tmp_path_factory, name, weights):
    folder = tmp_path_factory.getbasetemp()
    back = dense_of(name, written(name, weights, folder / "weights"), folder / "back")
    assert back.keys() == weights.keys()
    for tensor, array in weights.items():
        assert back[tensor].dtype == array.dtype
        assert back[tensor].shape == array.shape
        assert back[tensor].tobytes() == array.tobytes()


@every_format
def test_nan_infinity_and_minus_zero_survive(tmp_path, name):
    bits = np.array([0x7FC00001, 0xFFC12345, 0x7F800000, 0xFF800000, 0x80000000, 1], np.uint32)
    weights = {"a": bits.view(np.float32)}
    back = dense_of(name, written(name, weights, tmp_path / "weights"), tmp_path / "back")
    np.testing.assert_array_equal(back["a"].view(np.uint32), bits)


@every_format
def test_a_view_is_written_like_its_copy(tmp_path, name):
    whole = checkpoint()["a"]
    for view in (whole.T, whole[::2], np.asfortranarray(whole)):
        back = dense_of(name, written(name, {"a": view}, tmp_path / "weights"), tmp_path / "back")
        np.testing.assert_array_equal(back["a"], view)


@every_format
def test_nothing_is_left_beside_the_file(tmp_path, name):
    written(name, checkpoint(), tmp_path / "weights")
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


@every_format
def test_the_same_weights_make_the_same_bytes(tmp_path, name):
    made = {written(name, checkpoint(0.5), tmp_path / "weights") for _ in range(3)}
    assert len(made) == 1


@every_format
def test_the_weights_are_left_as_they_are(tmp_path, name):
    weights = checkpoint(0.5)
    for array in weights.values():
        array.setflags(write=False)
    written(name, weights, tmp_path / "weights")
    np.testing.assert_array_equal(weights["a"], checkpoint(0.5)["a"])


def test_the_dense_file_is_the_one_that_safetensors_writes(tmp_path):
    weights = checkpoint(0.9)
    save_file(weights, tmp_path / "theirs")
    assert written("dense", weights, tmp_path / "ours") == (tmp_path / "theirs").read_bytes()


def test_zstd_holds_the_dense_file(tmp_path):
    weights = checkpoint(0.9)
    dense = written("dense", weights, tmp_path / "dense")
    packed = written("dense+zstd", weights, tmp_path / "packed")
    assert zstandard.ZstdDecompressor().decompress(packed) == dense


def test_a_dense_file_does_not_shrink_with_its_weights_and_zstd_does(tmp_path):
    sizes = {
        name: [len(written(name, checkpoint(s), tmp_path / "w")) for s in (0.0, 0.5, 0.9, 0.99)]
        for name in FORMATS
    }
    assert len(set(sizes["dense"])) == 1
    assert sizes["dense+zstd"] == sorted(sizes["dense+zstd"], reverse=True)
    assert sizes["dense+zstd"][-1] < sizes["dense"][-1] / 10


# ---------------------------------------------------------------- the bound


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
@every_format
def test_no_file_of_random_weights_beats_the_bound(tmp_path, name, sparsity):
    """Full float32 mantissas hardly compress, so the bound holds for real files of this size."""
    weights = {
        n: np.where(
            w == 0,
            0,
            np.frombuffer(np.random.default_rng(9).bytes(w.nbytes), np.float32).reshape(w.shape),
        )
        for n, w in checkpoint(sparsity).items()
    }
    content = written(name, {"a": weights["a"]}, tmp_path / "weights")
    assert len(content) >= bound_bytes({"a": weights["a"]})
