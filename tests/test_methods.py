"""The contract of every pruning method: a new one joins by its file."""

import inspect
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import pruning
from analysis.errors import RequestError
from analysis.models import naming

ROOT = Path(__file__).parents[1]
LEVELS = [0.10, 0.50, 0.90, 0.95, 0.99]
UNSTRUCTURED = ["magnitude", "magnitude-all"]

every_method = pytest.mark.parametrize("name", pruning.names())

BERT = {
    "bert.embeddings.word_embeddings.weight": (50, 8),
    "bert.embeddings.LayerNorm.weight": (8,),
    "bert.encoder.layer.0.attention.self.query.weight": (8, 8),
    "bert.encoder.layer.0.attention.self.query.bias": (8,),
    "bert.encoder.layer.0.attention.output.LayerNorm.weight": (8,),
    "bert.encoder.layer.0.intermediate.dense.weight": (16, 8),
    "bert.encoder.layer.1.output.dense.weight": (8, 16),
    "classifier.weight": (2, 8),
    "classifier.bias": (2,),
}
PRUNABLE = {
    "bert.encoder.layer.0.attention.self.query.weight",
    "bert.encoder.layer.0.intermediate.dense.weight",
    "bert.encoder.layer.1.output.dense.weight",
}


def checkpoint(seed=0):
    generator = np.random.default_rng(seed)
    return {n: generator.standard_normal(s).astype(np.float32) for n, s in BERT.items()}


def scope(name, weights):
    names = naming.weights(weights, "encoder-only")
    return {n: w for n, w in weights.items() if pruning.method(name).in_scope(names[n])}


def select(name, weights, levels=LEVELS):
    return list(pruning.method(name).select(scope(name, weights), levels))


def test_the_homeworks_methods_are_there():
    assert set(UNSTRUCTURED) <= set(pruning.names())


@every_method
def test_a_method_says_what_it_is_called_and_where_it_comes_from(name):
    module = pruning.method(name)
    assert isinstance(module.TITLE, str)
    assert module.TITLE.strip()
    bibliography = (ROOT / "references.bib").read_text(encoding="utf-8")
    assert re.search(rf"^@\w+\{{{module.CITATION},", bibliography, re.MULTILINE)
    assert module.__name__ == pruning.module_name(name)
    assert inspect.getdoc(module)


def test_titles_are_distinct():
    titles = [pruning.method(name).TITLE for name in pruning.names()]
    assert len(set(titles)) == len(titles)


@every_method
def test_there_is_something_in_scope_and_no_bias(name):
    chosen = scope(name, checkpoint())
    assert chosen
    assert not any(n.endswith("bias") for n in chosen)


@every_method
def test_one_selection_a_level_in_the_given_order(name):
    for levels in (LEVELS, LEVELS[::-1], [0.5]):
        selections = select(name, checkpoint(), levels)
        assert [s.sparsity for s in selections] == levels


@every_method
def test_masks_are_booleans_for_exactly_the_tensors_in_scope(name):
    chosen = scope(name, checkpoint())
    for selection in select(name, checkpoint()):
        assert selection.masks.keys() == chosen.keys()
        for tensor, mask in selection.masks.items():
            assert mask.dtype == np.bool_
            assert mask.shape == chosen[tensor].shape


@pytest.mark.parametrize("name", UNSTRUCTURED)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), level=st.floats(0.001, 0.999))
def test_an_unstructured_method_removes_exactly_round_of_s_times_n(name, seed, level):
    weights = checkpoint(seed)
    (selection,) = select(name, weights, [level])
    total = sum(w.size for w in scope(name, weights).values())
    assert sum(int((~m).sum()) for m in selection.masks.values()) == round(level * total)


@every_method
def test_the_weights_are_left_as_they_are(name):
    weights = checkpoint()
    for w in weights.values():
        w.setflags(write=False)
    select(name, weights)
    for tensor, w in checkpoint().items():
        np.testing.assert_array_equal(weights[tensor], w)


@every_method
def test_the_same_weights_give_the_same_masks(name):
    for one, two in zip(select(name, checkpoint()), select(name, checkpoint()), strict=True):
        assert one.threshold == two.threshold
        for tensor in one.masks:
            np.testing.assert_array_equal(one.masks[tensor], two.masks[tensor])


@pytest.mark.parametrize("name", UNSTRUCTURED)
def test_a_higher_level_removes_what_a_lower_one_does_and_more(name):
    selections = select(name, checkpoint())
    for lower, higher in itertools.pairwise(selections):
        assert lower.threshold <= higher.threshold
        for tensor in lower.masks:
            assert not (higher.masks[tensor] & ~lower.masks[tensor]).any()


def test_magnitude_prunes_the_linear_layers_of_the_blocks_only():
    assert scope("magnitude", checkpoint()).keys() == PRUNABLE


def test_magnitude_all_prunes_everything_called_weight():
    expected = {name for name in BERT if name.endswith(".weight")}
    assert scope("magnitude-all", checkpoint()).keys() == expected


@pytest.mark.parametrize("name", UNSTRUCTURED)
def test_magnitude_is_ranked_over_all_tensors_together(name):
    """A tensor of large weights loses none while another still has small ones."""
    weights = {n: np.full(s, 0.01, np.float32) for n, s in BERT.items()}
    large = "bert.encoder.layer.0.intermediate.dense.weight"
    weights[large] = np.full(BERT[large], 5.0, np.float32)
    (selection,) = select(name, weights, [0.5])
    assert selection.masks[large].all()
    assert selection.threshold == np.float32(0.01)


@pytest.mark.parametrize("wrong", ["magnitud", "Magnitude", "magnitude_all", "../magnitude", ""])
def test_an_unknown_method_is_a_wrong_request(wrong):
    with pytest.raises(RequestError) as caught:
        pruning.method(wrong)
    assert "unknown method" in str(caught.value)
    assert "magnitude-all" in str(caught.value)
