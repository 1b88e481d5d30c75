"""Variants that are timed side by side share tensors, and answer as if they did not."""

import gc
import weakref

import numpy as np
import pytest
import torch
import transformers
from timed_models import EACH, KINDS, TOKENS, dense, entry

from analysis.execution.choice import always
from analysis.execution.layers import SparseLinear
from analysis.execution.names import AUTO, DENSE, TILED_CSR, TORCH_CSR
from analysis.models import naming
from analysis.models.loading import load_model
from analysis.models.weights import read_weights
from analysis.pruning.masks import Pruned, applied, number_kept, read_pruned, write_pruned
from analysis.steps.sharing import Loader, SideBySide
from analysis.steps.timed import Entry, entries_of, random_inputs

every_kind = pytest.mark.parametrize("kind", KINDS)
every_kernel = pytest.mark.parametrize("kernel", EACH)

pytestmark = pytest.mark.usefixtures("one_thread")


def told(objects, kind, level=0.9):
    return entries_of([entry(objects, kind, str(level), EACH, level=level)])[0]


def dense_entry(objects, kind):
    return entries_of([entry(objects, kind, "dense")])[0]


def memory(model):
    """Where each parameter lies."""
    return {name: tensor.data_ptr() for name, tensor in model.named_parameters()}


def by_size(matrix, bias, tokens):
    """A kernel for few tokens and another for many, as a choice by measuring may have it."""
    return DENSE if tokens > 4 else TILED_CSR


# ---------------------------------------------------------------- what is shared


@every_kind
def test_what_pruning_left_alone_is_the_checkpoints_own_and_the_rest_is_not(objects, kind):
    loader = Loader(objects, KINDS[kind][3], "cpu")
    given = told(objects, kind)
    whole = memory(loader.runnable(dense_entry(objects, kind), DENSE, always(DENSE)))
    loader.whole(given.checkpoint)
    whole = memory(loader.whole(given.checkpoint))
    model = loader.runnable(given, DENSE, always(DENSE))
    again = memory(loader.runnable(given, DENSE, always(DENSE)))
    own = memory(model)
    named = naming.weights(own)
    pruned = {name for name in own if named[name].prunable}
    assert pruned
    assert {name for name in own if own[name] != whole[name]} == pruned
    assert own == again  # the same variant twice


@every_kind
def test_the_checkpoint_is_as_it_was_after_all_variants_were_made(objects, kind):
    loader = Loader(objects, KINDS[kind][3], "cpu")
    whole = loader.whole(told(objects, kind).checkpoint)
    before = {name: tensor.detach().clone() for name, tensor in whole.named_parameters()}
    for level in (0.5, 0.9):
        for kernel in EACH:
            loader.runnable(told(objects, kind, level), kernel, always(TORCH_CSR), [TOKENS])
    for name, tensor in whole.named_parameters():
        assert torch.equal(tensor, before[name])


def test_kernels_of_a_variant_share_its_non_zeros(objects):
    loader, given = Loader(objects, "classification", "cpu"), told(objects, "bert")
    models = [loader.runnable(given, k, always(DENSE)) for k in (TORCH_CSR, TILED_CSR)]
    sparse = [
        [module for module in model.modules() if isinstance(module, SparseLinear)]
        for model in models
    ]
    assert sparse[0]
    for one, other in zip(*sparse, strict=True):
        assert one.matrix is other.matrix


def test_what_no_variant_holds_any_more_is_gone(objects):
    loader, given = Loader(objects, "classification", "cpu"), told(objects, "bert")
    whole = loader.bytes_of_whole(given.checkpoint)
    loader.whole(given.checkpoint)
    models = {(given, k): loader.runnable(given, k, always(DENSE)) for k in (DENSE, TILED_CSR)}
    assert loader.bytes_held(models) > whole
    models.clear()
    gc.collect()
    assert loader.bytes_held({}) == whole


@every_kind
@pytest.mark.parametrize("kernel", [TORCH_CSR, TILED_CSR, AUTO])
def test_while_a_model_is_made_sparse_hardly_a_matrix_is_there_in_both_forms(
    objects, kind, kernel, monkeypatch
):
    """The dense form of a whole model beside its non-zeros would be too much."""
    made, most = [], 0
    make = Loader._tensor

    def watched(*given):
        nonlocal most
        most = max(most, sum(there() is not None for there in made))
        found = make(*given)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(Loader, "_tensor", watched)
    loader = Loader(objects, KINDS[kind][3], "cpu")
    loader.runnable(told(objects, kind), kernel, always(TILED_CSR), [TOKENS])
    assert len(made) >= 8
    assert most <= 1


def test_a_model_of_its_own_shares_nothing(objects):
    loader, given = Loader(objects, "classification", "cpu"), told(objects, "bert")
    others = loader.runnable(given, DENSE, always(DENSE)), loader.whole(given.checkpoint)
    shared = {place for model in others for place in memory(model).values()}
    own = loader.model(given)
    assert not shared & set(memory(own).values())


def test_tied_weights_stay_tied_where_they_are_pruned(objects):
    """The head of GPT-2 is its embedding: no kernel makes one of the two sparse alone."""
    whole = dense(objects, "gpt2")
    weights = read_weights(objects.open(whole["checkpoint"]))
    name = next(name for name in weights if name.endswith("wte.weight"))
    mask = np.random.default_rng(0).random(weights[name].shape) < 0.1
    with objects.scratch() as scratch:
        write_pruned(scratch / "masks", Pruned({name: mask}), "")
        masks = objects.adopt(scratch / "masks")
    given = Entry("tied", whole["checkpoint"], masks, (DENSE,))
    loader = Loader(objects, "causal", "cpu")
    for kernel in (DENSE, AUTO):
        model = loader.runnable(given, kernel, always(TILED_CSR))
        head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
        assert head.weight is embedding.weight
        np.testing.assert_array_equal(head.weight.detach().numpy(), weights[name] * mask)
    assert loader.runnable(given, TILED_CSR, always(DENSE)) is None


def test_names_without_the_models_prefix_are_found(objects):
    """Published checkpoints of GPT-2 have none."""
    whole = dense(objects, "gpt2")
    folder = objects.open(whole["checkpoint"])
    weights = read_weights(folder)
    name = "h.0.mlp.c_fc.weight"
    mask = np.random.default_rng(0).random(weights[f"transformer.{name}"].shape) < 0.5
    with objects.scratch() as scratch:
        write_pruned(scratch / "masks", Pruned({name: mask}), "")
        masks = objects.adopt(scratch / "masks")
    given = Entry("bare", whole["checkpoint"], masks, (DENSE,))
    model = Loader(objects, "causal", "cpu").runnable(given, DENSE, always(DENSE))
    left = model.state_dict()[f"transformer.{name}"].numpy()
    np.testing.assert_array_equal(left, weights[f"transformer.{name}"] * mask)


def test_values_that_pruning_changed_are_run(objects):
    whole = dense(objects, "bert")
    weights = read_weights(objects.open(whole["checkpoint"]))
    name = next(name for name, what in naming.weights(weights).items() if what.prunable)
    mask = np.random.default_rng(0).random(weights[name].shape) < 0.3
    values = {name: 2 * weights[name] * mask, "classifier.bias": weights["classifier.bias"] + 1}
    pruned = Pruned({name: mask}, values)
    with objects.scratch() as scratch:
        write_pruned(scratch / "masks", pruned, "")
        masks = objects.adopt(scratch / "masks")
    assert number_kept(objects.open(masks)) == {
        name: mask.sum(),
        "classifier.bias": values["classifier.bias"].size,
    }
    expected = applied(weights, read_pruned(objects.open(masks)))
    given = Entry("changed", whole["checkpoint"], masks, (DENSE,))
    model = Loader(objects, "classification", "cpu").runnable(given, DENSE, always(DENSE))
    for stored, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), expected[stored])


# ---------------------------------------------------------------- what it takes


@every_kind
@pytest.mark.parametrize("tokens", [[TOKENS], [1, TOKENS]])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_no_variant_takes_more_than_was_reckoned(objects, kind, level, tokens):
    """Alone beside the dense model, and beside the variant's other kernels."""
    whole, given = dense_entry(objects, kind), told(objects, kind, level)
    for choose in (always(DENSE), always(TILED_CSR), by_size):
        together = SideBySide(Loader(objects, KINDS[kind][3], "cpu"), whole, choose, tokens)
        models = {(whole, DENSE): together.make((whole, DENSE))}
        for kernel in EACH:
            alone = SideBySide(Loader(objects, KINDS[kind][3], "cpu"), whole, choose, tokens)
            base = {(whole, DENSE): alone.make((whole, DENSE))}
            for maker, held in ((alone, base), (together, models)):
                before, reckoned = maker.bytes_held(held), maker.bytes_to_add((given, kernel))
                held[given, kernel] = made = maker.make((given, kernel))
                if made is None:
                    del held[given, kernel]
                assert maker.bytes_held(held) - before <= reckoned
                if kernel == DENSE:
                    assert maker.bytes_held(held) - before == reckoned


def test_the_dense_model_is_reckoned_as_it_is_loaded(objects):
    given = dense_entry(objects, "bert")
    maker = SideBySide(Loader(objects, "classification", "cpu"), given, always(DENSE), [TOKENS])
    reckoned = maker.bytes_to_add((given, DENSE))
    model = maker.make((given, DENSE))
    assert reckoned == sum(tensor.nbytes for tensor in model.parameters())


# ---------------------------------------------------------------- inputs


class Words:
    """A tokenizer of so many words, as far as inputs ask it."""

    def __init__(self, count, end):
        self.count, self.eos_token_id = count, end

    def __len__(self):
        return self.count


@pytest.mark.parametrize(("words", "end"), [(40, 3), (400, 3), (400, 399), (5, 0), (40, None)])
@pytest.mark.parametrize("form", ["classification", "causal", "cloze", "masked", "text-to-text"])
def test_inputs_are_of_words_that_the_model_knows(objects, words, end, form):
    """Some tokenizers have more words than their model, others fewer."""
    checkpoint = objects.open(dense(objects, "bert")["checkpoint"])
    model, _ = load_model(checkpoint, "classification", "cpu")
    size = model.config.vocab_size
    inputs = random_inputs(model, Words(words, end), form, 4, 50, 0)
    ids = inputs["input_ids"]
    assert ids.shape == (4, 50)
    assert 0 <= int(ids.min()) <= int(ids.max()) < min(words, size)
    if end is not None and end < size:
        assert ((ids == end).sum(dim=1) == 1).all()
        assert (ids[:, -1] == end).all()
    assert ("decoder_input_ids" in inputs) == (form == "text-to-text")


@pytest.mark.parametrize(("kind", "form", "model_class"), [
    ("gpt2", "cloze", transformers.GPT2LMHeadModel),
    ("masked-bert", "masked", transformers.BertForMaskedLM),
])  # fmt: skip
@every_kernel
def test_every_form_of_task_is_run(objects, monkeypatch, kind, form, model_class, kernel):
    masked = ("BertForMaskedLM", *KINDS["bert"][1:3], "masked")
    monkeypatch.setitem(KINDS, "masked-bert", masked)
    loader, given = Loader(objects, form, "cpu"), told(objects, kind)
    model = loader.runnable(given, kernel, always(TILED_CSR), [TOKENS])
    assert isinstance(model, model_class)
    inputs = random_inputs(model, loader.tokenizer(given), form, 2, TOKENS, 0)
    with torch.inference_mode():
        assert model(**inputs).logits.shape == (2, TOKENS, model.config.vocab_size)
