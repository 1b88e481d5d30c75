"""The contract of every pruning method: a new one joins by its file."""

import functools
import inspect
import itertools
import re
from pathlib import Path

import architectures
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import pruning
from analysis.errors import RequestError
from analysis.models import naming
from analysis.pruning.scope import Scope, stored_by_input

ROOT = Path(__file__).parents[1]
LEVELS = [0.10, 0.50, 0.90, 0.95, 0.99]
GLOBAL = ["magnitude", "magnitude-all"]  # one threshold over all tensors
ROWS = ["magnitude-row"]  # the same sparsity in every output row
LAYERS = ["magnitude-layer"]  # the same in every matrix
NESTED = [*GLOBAL, *LAYERS, *ROWS, "random"]  # a higher level removes what a lower one does

every_method = pytest.mark.parametrize("name", pruning.names())


@functools.cache
def shapes(architecture):
    """Names and shapes of a tiny model's parameters, each tied one once."""
    with torch.device("meta"):
        model = architectures.model(architecture)
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def checkpoint(architecture="Bert", seed=0):
    generator = np.random.default_rng(seed)
    return {
        name: generator.standard_normal(shape).astype(np.float32)
        for name, shape in shapes(architecture).items()
    }


def scope(name, weights):
    named = naming.weights(weights)
    chosen = {n: weights[n] for n in named if pruning.method(name).in_scope(named[n])}
    return Scope(chosen, by_input=stored_by_input({n: w.shape for n, w in weights.items()}))


def select(name, weights, levels=LEVELS):
    return list(pruning.method(name).select(scope(name, weights), levels))


every_architecture = pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)


def test_the_homeworks_methods_are_there():
    assert set(GLOBAL) <= set(pruning.names())


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
@every_architecture
def test_there_is_something_in_scope_and_no_bias(name, architecture):
    chosen = scope(name, checkpoint(architecture)).weights
    assert chosen
    assert not any(n.endswith("bias") for n in chosen)


@every_method
def test_one_selection_a_level_in_the_given_order(name):
    for levels in (LEVELS, LEVELS[::-1], [0.5]):
        selections = select(name, checkpoint(), levels)
        assert [s.sparsity for s in selections] == levels


@every_method
@every_architecture
def test_masks_are_booleans_for_exactly_the_tensors_in_scope(name, architecture):
    chosen = scope(name, checkpoint(architecture)).weights
    for selection in select(name, checkpoint(architecture)):
        assert set(selection.masks) == set(chosen)
        for tensor, mask in selection.masks.items():
            assert mask.dtype == np.bool_
            assert mask.shape == chosen[tensor].shape


@every_method
@every_architecture
def test_a_method_removes_exactly_round_of_s_times_n(name, architecture):
    weights = checkpoint(architecture)
    total = sum(w.size for w in scope(name, weights).weights.values())
    for level, selection in zip(LEVELS, select(name, weights), strict=True):
        assert removed(selection) == round(level * total)


@every_method
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), level=st.floats(0.001, 0.999))
def test_counts_are_exact_at_any_level(name, seed, level):
    weights = checkpoint(seed=seed)
    (selection,) = select(name, weights, [level])
    total = sum(w.size for w in scope(name, weights).weights.values())
    assert removed(selection) == round(level * total)


def removed(selection):
    return sum(int((~mask).sum()) for mask in selection.masks.values())


@every_method
@every_architecture
def test_the_weights_are_left_as_they_are(name, architecture):
    weights = checkpoint(architecture)
    for w in weights.values():
        w.setflags(write=False)
    for selection in select(name, weights):
        list(selection.masks.values())
    for tensor, w in checkpoint(architecture).items():
        np.testing.assert_array_equal(weights[tensor], w)


@every_method
@every_architecture
def test_the_same_weights_give_the_same_masks(name, architecture):
    twice = [select(name, checkpoint(architecture)) for _ in range(2)]
    for one, two in zip(*twice, strict=True):
        assert one.threshold == two.threshold
        for tensor in one.masks:
            np.testing.assert_array_equal(one.masks[tensor], two.masks[tensor])


@pytest.mark.parametrize("name", NESTED)
@every_architecture
def test_a_higher_level_removes_what_a_lower_one_does_and_more(name, architecture):
    selections = select(name, checkpoint(architecture))
    for lower, higher in itertools.pairwise(selections):
        for tensor in lower.masks:
            assert not (higher.masks[tensor] & ~lower.masks[tensor]).any()


@pytest.mark.parametrize("name", [n for n in pruning.names() if n != "random"])
@every_architecture
def test_pruning_what_is_pruned_changes_nothing(name, architecture):
    """At the same level the zeros are the first to go again."""
    weights = checkpoint(architecture)
    (first,) = select(name, weights, [0.5])
    again = weights | {n: weights[n] * mask for n, mask in first.masks.items()}
    (second,) = select(name, again, [0.5])
    for tensor in first.masks:
        np.testing.assert_array_equal(first.masks[tensor], second.masks[tensor])


@pytest.mark.parametrize("name", ROWS)
@every_architecture
def test_rows_of_outputs_lose_alike_and_their_smallest(name, architecture):
    """The oracle goes by the module: GPT-2's Conv1D is stored [in, out]."""
    weights = checkpoint(architecture)
    for level, selection in zip(LEVELS, select(name, weights), strict=True):
        for tensor, mask in selection.masks.items():
            transposed = architecture == "GPT2"
            rows, keep = (x.T if transposed else x for x in (np.abs(weights[tensor]), mask))
            whole = int(rows.shape[1] * level)
            for row, kept in zip(rows, keep, strict=True):
                assert (~kept).sum() in (whole, whole + 1)
                assert max(row[~kept], default=0) <= min(row[kept], default=np.inf)


@pytest.mark.parametrize("name", LAYERS)
@every_architecture
def test_layers_lose_alike_and_their_smallest(name, architecture):
    weights = checkpoint(architecture)
    for level, selection in zip(LEVELS, select(name, weights), strict=True):
        for tensor, mask in selection.masks.items():
            magnitude = np.abs(weights[tensor])
            assert abs((~mask).sum() - level * mask.size) <= 1
            assert magnitude[~mask].max() <= magnitude[mask].min()


def test_random_looks_at_no_weight_and_draws_by_seed():
    chosen = scope("random", checkpoint())
    zeroed = Scope({n: w * 0 for n, w in chosen.weights.items()})
    other = Scope(chosen.weights, seed=1)
    one, same, different = (
        next(iter(pruning.method("random").select(s, [0.5]))).masks for s in (chosen, zeroed, other)
    )
    assert all((one[n] == same[n]).all() for n in one)
    assert any((one[n] != different[n]).any() for n in one)


def test_random_removes_as_much_everywhere():
    weights = {f"h.{i}.mlp.c_fc.weight": np.ones((300, 400), np.float32) for i in range(3)}
    (selection,) = select("random", weights, [0.5])
    for mask in selection.masks.values():
        assert np.mean(mask) == pytest.approx(0.5, abs=0.01)
        assert mask.mean(axis=0).std() < 0.05  # no rows or columns are preferred


@every_architecture
def test_magnitude_prunes_the_linear_layers_of_the_blocks_only(architecture):
    weights = checkpoint(architecture)
    found = scope("magnitude", weights).weights
    assert all(weights[name].ndim == 2 for name in found)
    assert not any(re.search("norm|embed|shared|wte|wpe|lm_head|cls|ln_", n.lower()) for n in found)


def test_magnitude_all_prunes_everything_called_weight():
    expected = {name for name in shapes("Bert") if name.endswith(".weight")}
    assert scope("magnitude-all", checkpoint()).weights.keys() == expected


@pytest.mark.parametrize("name", GLOBAL)
def test_magnitude_is_ranked_over_all_tensors_together(name):
    """A tensor of large weights loses none while another still has small ones."""
    weights = {n: np.full(s, 0.01, np.float32) for n, s in shapes("Bert").items()}
    large = "bert.encoder.layer.0.intermediate.dense.weight"
    weights[large] = np.full(weights[large].shape, 5.0, np.float32)
    (selection,) = select(name, weights, [0.5])
    assert selection.masks[large].all()
    assert selection.threshold == np.float32(0.01)


@pytest.mark.parametrize("wrong", ["magnitud", "Magnitude", "magnitude_all", "../magnitude", ""])
def test_an_unknown_method_is_a_wrong_request(wrong):
    with pytest.raises(RequestError) as caught:
        pruning.method(wrong)
    assert "unknown method" in str(caught.value)
    assert "magnitude-all" in str(caught.value)
