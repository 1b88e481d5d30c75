"""Variants that are timed side by side share tensors, and answer as if they did not."""

import gc
import weakref

import numpy as np
import pytest
import torch
import transformers
from random_models import EACH, FAMILIES, KINDS, TOKENS, answers, dense, entry, made

from analysis.checkpoints import naming
from analysis.checkpoints.weights import read_weights
from analysis.execution.choice import always
from analysis.execution.layers import SparseLinear
from analysis.execution.names import AUTO, DENSE, INT8, TILED_CSR, TORCH_CSR
from analysis.pruning.masks import Pruned, applied, number_kept, read_pruned, write_pruned
from analysis.steps.timing.sharing import Loader, SideBySide
from analysis.steps.timing.variants import Entry, entries_of, random_inputs

every_kind = pytest.mark.parametrize("kind", FAMILIES)
pytestmark = pytest.mark.usefixtures("one_thread")


def told(objects, kind, level=0.9):
    return entries_of([entry(objects, kind, str(level), EACH, level=level)])[0]


def loader_of(objects, kind):
    return Loader(objects, KINDS[kind][3], "cpu")


def memory(model):
    """Where each parameter lies."""
    return {name: tensor.data_ptr() for name, tensor in model.named_parameters()}


def by_size(matrix, bias, tokens):
    """A kernel for few tokens and another for many, as a choice by measuring may have it."""
    return DENSE if tokens > 4 else TILED_CSR


def weights_of(objects, kind):
    return read_weights(objects.open(dense(objects, kind)["checkpoint"]))


@every_kind
def test_variants_share_what_pruning_left_alone_and_are_what_their_files_say(objects, kind):
    loader, weights = loader_of(objects, kind), weights_of(objects, kind)
    prunable = {name for name, what in naming.weights(weights).items() if what.prunable}
    whole = loader.whole(dense(objects, kind)["checkpoint"])
    before = {name: tensor.detach().clone() for name, tensor in whole.named_parameters()}
    for level in (0.5, 0.9):
        given = told(objects, kind, level)
        expected = applied(weights, read_pruned(objects.open(given.masks)))
        model, alone = loader.runnable(given, DENSE, always(DENSE)), loader.model(given)
        for one in (model, alone):
            for name in prunable:
                np.testing.assert_array_equal(one.get_parameter(name).detach(), expected[name])
        own = memory(model)
        assert {name for name in own if own[name] != memory(whole)[name]} == prunable
        assert memory(loader.runnable(given, DENSE, always(DENSE))) == own  # the same twice
        assert not {*memory(alone).values()} & {*own.values(), *memory(whole).values()}
        inputs = random_inputs(model, loader.tokenizer(given), KINDS[kind][3], 2, TOKENS, 0)
        for kernel, choose in ((TORCH_CSR, None), (TILED_CSR, None), (AUTO, by_size)):
            sparse = loader.runnable(given, kernel, choose, [1, 2 * TOKENS])
            assert any(isinstance(module, SparseLinear) for module in sparse.modules())
            found = [answers(one, **inputs) for one in (sparse, model)]
            torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    for name, tensor in whole.named_parameters():
        assert torch.equal(tensor, before[name])


def test_kernels_of_a_variant_share_its_non_zeros_until_none_holds_them_any_more(objects):
    loader, given = loader_of(objects, "bert"), told(objects, "bert")
    whole, kernels = loader.bytes_of_whole(given.checkpoint), (DENSE, TORCH_CSR, TILED_CSR)
    loader.whole(given.checkpoint)
    models = {(given, k): loader.runnable(given, k, always(DENSE)) for k in kernels}
    pairs = zip(*(models[given, kernel].modules() for kernel in kernels[1:]), strict=True)
    same = [one.matrix is other.matrix for one, other in pairs if isinstance(one, SparseLinear)]
    assert {*same} == {True}
    assert loader.bytes_held(models) > whole
    del models, pairs
    gc.collect()
    assert loader.bytes_held({}) == whole


@every_kind
def test_while_a_model_is_made_sparse_hardly_a_matrix_is_there_in_both_forms(
    objects, kind, monkeypatch
):
    """The dense form of a whole model beside its non-zeros would be too much."""
    seen, there, make = [], [], Loader._tensor

    def watched(*given):
        there.append(sum(tensor() is not None for tensor in seen))
        seen.append(weakref.ref(found := make(*given)))
        return found

    monkeypatch.setattr(Loader, "_tensor", watched)
    for kernel in (TORCH_CSR, TILED_CSR, AUTO):
        loader_of(objects, kind).runnable(told(objects, kind), kernel, always(TILED_CSR), [TOKENS])
        assert len(seen) >= 8
        assert max(there) <= 1
        seen.clear()


def test_masks_and_values_of_tied_short_named_and_any_tensors_are_run(objects):
    def masked(kind, name, changed=None, short=None):
        """A variant with a mask of one matrix and changed values, and what that leaves of it."""
        whole, loader = weights_of(objects, kind), loader_of(objects, kind)
        mask = np.random.default_rng(0).random(whole[name].shape) < 0.3
        values = changed(whole, mask) if changed else {}
        with objects.scratch() as scratch:
            write_pruned(scratch / "masks", Pruned({short or name: mask}, values), "")
            masks = objects.adopt(scratch / "masks")
        given = Entry("own", dense(objects, kind)["checkpoint"], masks, (DENSE,))
        model = loader.runnable(given, DENSE, always(DENSE))
        expected = whole | {name: whole[name] * mask} | values
        for stored in expected:
            np.testing.assert_array_equal(model.get_parameter(stored).detach(), expected[stored])
        kept = {name: mask.sum()} | {n: v.size for n, v in values.items() if n != name}
        assert short or number_kept(objects.open(masks)) == kept
        return loader, given

    bias, out = "classifier.bias", "bert.encoder.layer.0.output.dense.weight"
    masked("bert", out, lambda all_, mask: {out: 2 * mask * all_[out], bias: all_[bias] + 1})
    # published checkpoints of GPT-2 have no prefix
    masked("gpt2", "transformer.h.0.mlp.c_fc.weight", short="h.0.mlp.c_fc.weight")
    # the head of GPT-2 is its embedding: no kernel makes one of the two sparse alone
    loader, given = masked("gpt2", "transformer.wte.weight")
    for kernel in (DENSE, AUTO):
        model = loader.runnable(given, kernel, always(TILED_CSR))
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert loader.runnable(given, TILED_CSR, always(DENSE)) is None


@every_kind
def test_no_variant_takes_more_than_was_reckoned(objects, kind):
    """Alone beside the dense model, and beside the variant's other kernels."""
    (whole,) = entries_of([entry(objects, kind, "dense")])
    runs = [(kernel, always(DENSE), [TOKENS]) for kernel in EACH]
    runs += [(AUTO, always(TILED_CSR), [TOKENS]), (AUTO, by_size, [1, TOKENS])]
    for given in (told(objects, kind, level) for level in (0.1, 0.5, 0.9)):
        shared, others = loader_of(objects, kind), {}
        for number, (kernel, choose, tokens) in enumerate(runs):
            for loader, held in ((loader_of(objects, kind), {}), (shared, others)):
                maker = SideBySide(loader, whole, choose, tokens)
                model = held[whole, DENSE] = maker.make((whole, DENSE))
                own = {id(t): t.nbytes for t in model.state_dict(keep_vars=True).values()}
                assert maker.bytes_to_add((whole, DENSE)) == sum(own.values())
                before, reckoned = maker.bytes_held(held), maker.bytes_to_add((given, kernel))
                variant = maker.make((given, kernel))
                held |= {} if variant is None else {(given, number): variant}
                added = maker.bytes_held(held) - before
                assert added == reckoned if kernel == DENSE else added <= reckoned


class Words(list):
    """A tokenizer of so many words."""

    def __init__(self, count, end):
        super().__init__(range(count))
        self.eos_token_id = end


def test_inputs_are_random_whole_and_of_words_that_the_model_knows():
    """Some tokenizers have more words than their model, others fewer."""
    size = (model := made("bert")).config.vocab_size
    for words, end in ((40, 3), (400, 399), (5, 0), (40, None)):
        for form in ("classification", "text-to-text"):
            asked = model, Words(words, end), form, 4, 50
            one, again, other = (random_inputs(*asked, seed) for seed in (0, 0, 1))
            ids = one["input_ids"]
            assert (ids.shape, (one["attention_mask"] == 1).all()) == ((4, 50), True)
            assert 0 <= int(ids.min()) <= int(ids.max()) < min(words, size)
            if end is not None and end < size:
                assert (ids == end).int().tolist() == [[0] * 49 + [1]] * 4
            assert ("decoder_input_ids" in one) == (form == "text-to-text")
            assert all(torch.equal(one[name], again[name]) for name in one)
            assert not torch.equal(ids, other["input_ids"])


def test_every_form_of_task_is_run_and_int8_on_no_gpu(objects):
    for kind, form, model_class in (
        ("gpt2", "cloze", transformers.GPT2LMHeadModel),
        ("masked", "masked", transformers.BertForMaskedLM),
    ):
        loader, given = Loader(objects, form, "cpu"), told(objects, kind)
        for kernel in EACH:
            model = loader.runnable(given, kernel, always(TILED_CSR), [TOKENS])
            assert isinstance(model, model_class)
            inputs = random_inputs(model, loader.tokenizer(given), form, 2, TOKENS, 0)
            assert answers(model, **inputs).shape == (2, TOKENS, model.config.vocab_size)
    given = Entry(**entry(objects, "bert", "int8", [INT8]))
    assert Loader(objects, "classification", "cuda").runnable(given, INT8, always(DENSE)) is None
