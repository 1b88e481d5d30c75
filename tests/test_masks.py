"""Masks come back from their files as they went in, and fit the tensors they are put on."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.pruning.masks import (
    Pruned,
    applied,
    number_kept,
    read_pruned,
    remove,
    write_pruned,
)
from analysis.pruning.outcome import unheard_inputs
from analysis.pruning.selection import smallest_magnitudes
from analysis.storage.reading import opened

SHA = "0123456789abcdef" * 4

masks_of_any_shape = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6).filter(
        lambda name: name != "__metadata__"
    ),
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)),
    max_size=4,
)


@given(masks=masks_of_any_shape)
def test_masks_come_back_as_they_were(tmp_path_factory, masks):
    path = tmp_path_factory.getbasetemp() / "masks"
    write_pruned(path, Pruned(masks), SHA)
    back = read_pruned(path).masks
    assert back.keys() == masks.keys()
    for name, mask in masks.items():
        assert back[name].dtype == np.bool_
        assert back[name].shape == mask.shape
        np.testing.assert_array_equal(back[name], mask)


def test_a_file_of_masks_takes_one_bit_a_weight(tmp_path):
    masks = {"a": np.ones((1000, 800), bool), "b": np.zeros(7, bool)}
    write_pruned(tmp_path / "masks", Pruned(masks), SHA)
    assert 100_001 <= (tmp_path / "masks").stat().st_size < 100_001 + 1000


def test_a_mask_that_keeps_little_takes_less_than_a_bit_a_weight(tmp_path):
    mask = np.zeros((1000, 800), bool)
    mask[:, 7] = True
    write_pruned(tmp_path / "masks", Pruned({"a": mask}), SHA)
    assert (tmp_path / "masks").stat().st_size < 2 * 1000 + 4 * 1001 + 1000
    np.testing.assert_array_equal(read_pruned(tmp_path / "masks").masks["a"], mask)


@given(
    masks=masks_of_any_shape, dtype=st.sampled_from([np.float16, np.float32]), seed=st.integers(0)
)
def test_values_come_back_where_the_mask_keeps(tmp_path_factory, masks, dtype, seed):
    """Kept zeros of either sign stay kept, and a tensor without a mask comes back whole."""
    path = tmp_path_factory.getbasetemp() / "valued"
    choices = np.array([0.0, -0.0, np.nan, 1.5], dtype)
    generator = np.random.default_rng(seed)
    values = {name: generator.choice(choices, mask.shape) for name, mask in masks.items()}
    values["bias:"] = generator.choice(choices, 5)
    write_pruned(path, Pruned(masks, values), SHA)
    back = read_pruned(path)
    assert back.values.keys() == values.keys()
    for name, value in values.items():
        kept = np.where(masks[name], value, dtype(0)) if name in masks else value
        assert back.values[name].shape == value.shape
        assert back.values[name].tobytes() == kept.astype(dtype).tobytes()


def test_a_file_of_masks_names_the_weights_it_belongs_to(tmp_path):
    write_pruned(tmp_path / "masks", Pruned({"a": np.ones(3, bool)}), SHA)
    with opened(tmp_path / "masks") as stored:
        assert stored.metadata["weights_sha256"] == SHA


def test_the_same_masks_make_the_same_bytes(tmp_path):
    """A file's digest is part of what is remembered of a variant: it must not change by itself."""
    one = {"b": np.ones((2, 3), bool), "a": np.zeros(5, bool)}
    two = dict(reversed(one.items()))
    made = set()
    for masks in [one, two] * 12:
        write_pruned(tmp_path / "masks", Pruned(masks), SHA)
        made.add((tmp_path / "masks").read_bytes())
    assert len(made) == 1


def test_what_is_read_takes_a_bit_a_weight_and_what_is_kept(tmp_path):
    """So that the masks of a large model lie in memory beside it."""
    mask = np.random.default_rng(0).random((1000, 800)) < 0.1
    values = np.ones((1000, 800), np.float32)
    write_pruned(tmp_path / "masks", Pruned({"a": mask}, {"a": values, "b": values[0]}), SHA)
    tracemalloc.start()
    try:
        back = read_pruned(tmp_path / "masks")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < mask.size / 8 + 4 * mask.sum() + 4 * 800 + 50_000
    assert "a" in back.masks
    assert "b" not in back.masks
    assert number_kept(tmp_path / "masks") == {"a": mask.sum(), "b": 800}
    np.testing.assert_array_equal(back.values["a"], mask)
    np.testing.assert_array_equal(back.values["b"], np.ones(800))


def test_masks_of_a_transposed_view_are_written_in_order(tmp_path):
    mask = np.random.default_rng(0).random((5, 9)) < 0.5
    write_pruned(tmp_path / "masks", Pruned({"a": mask.T}), SHA)
    np.testing.assert_array_equal(read_pruned(tmp_path / "masks").masks["a"], mask.T)


def test_removed_entries_become_zero_and_kept_ones_keep_every_bit():
    values = np.array([1.5, -0.0, np.nan, -2.0, np.inf, 1e-45], np.float32)
    mask = np.array([True, True, True, False, False, True])
    left = applied({"a": values}, Pruned({"a": mask}))["a"]
    np.testing.assert_array_equal(left.view(np.uint32)[mask], values.view(np.uint32)[mask])
    assert left[~mask].tobytes() == np.zeros(2, np.float32).tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_applying_keeps_type_shape_and_inputs(dtype):
    weights = {"a": np.arange(6, dtype=dtype).reshape(2, 3), "b": np.ones(2, dtype)}
    before = {name: w.copy() for name, w in weights.items()}
    mask = np.array([[True, False, True], [False, True, True]])
    left = applied(weights, Pruned({"a": mask}))
    assert left["a"].dtype == dtype
    np.testing.assert_array_equal(left["a"], [[0, 0, 2], [0, 4, 5]])
    assert left["b"] is weights["b"]
    for name, w in weights.items():
        np.testing.assert_array_equal(w, before[name])


def test_masks_for_tensors_that_are_not_there_are_refused_by_name():
    with pytest.raises(ValueError, match="strange"):
        applied({"a": np.ones(2, np.float32)}, Pruned({"strange": np.ones(2, bool)}))


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 3), (2, 1), (3, 2), (6,), ()])
def test_a_mask_of_another_shape_is_refused(shape):
    """Broadcasting would spread it over the tensor: a wrong number, and no error."""
    with pytest.raises(ValueError, match=r"tensor\.weight"):
        applied(
            {"tensor.weight": np.ones((2, 3), np.float32)},
            Pruned({"tensor.weight": np.zeros(shape, bool)}),
        )


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_removing_in_place_is_applying(size, dtype):
    generator = np.random.default_rng(size)
    weights = {"a": generator.integers(1, 9, size).astype(dtype), "b": np.ones(3, dtype)}
    masks = {"a": generator.random(size) < 0.5}
    expected = applied(weights, Pruned(masks))
    remove(weights, masks)
    for name, array in expected.items():
        np.testing.assert_array_equal(weights[name], array)


def test_a_selections_masks_are_removed_as_they_are_written_out():
    weights = {"a": np.random.default_rng(0).standard_normal((37, 21)).astype(np.float32)}
    weights["a"][3] = 0.5  # ties at the threshold
    for level in (0.001, 0.3, 0.5, 0.9):
        (selection,) = smallest_magnitudes(weights, [level])
        expected = applied(weights, Pruned({"a": selection.masks["a"]}))
        pruned = {"a": weights["a"].copy()}
        remove(pruned, selection.masks)
        np.testing.assert_array_equal(pruned["a"], expected["a"])


def test_inputs_that_no_kept_weight_reads_are_counted_along_the_right_axis():
    mask = np.ones((4, 6), bool)
    mask[:, :3] = False  # three of the inputs of a matrix [out, in], none of one [in, out]
    linear = {"bert.encoder.layer.0.intermediate.dense.weight": mask}
    assert unheard_inputs(linear) == 0.5
    by_input = {"h.0.mlp.c_fc.weight": mask, "h.0.attn.c_proj.weight": mask[:2]}
    assert unheard_inputs(by_input) == 0.0
    by_input["h.0.mlp.c_fc.weight"] = np.zeros((4, 6), bool)
    assert unheard_inputs(by_input) == 0.5
    assert unheard_inputs({"bert.embeddings.word_embeddings.weight": mask}) is None
