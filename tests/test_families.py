"""A published model of each architecture, as a tiny replica, through the whole pipeline."""

import copy
import functools
import json

import families
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from analysis.alternatives.feedforward import feed_forwards
from analysis.alternatives.kinds import int8
from analysis.calibration.lockstep import blocks
from analysis.calibration.matrices import matrices
from analysis.checkpoints import naming
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.parameters import parameters
from analysis.checkpoints.tensors import Reader
from analysis.checkpoints.weights import read_weights, write_in_place_of
from analysis.errors import RequestError
from analysis.execution.choice import always
from analysis.execution.convert import sparsify
from analysis.execution.names import TILED_CSR
from analysis.models.filling import name_in
from analysis.models.loading import put
from analysis.profile.checkpoint import profile
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.pruning.methods import magnitude
from analysis.pruning.moments import moments_of
from analysis.pruning.scope import Scope
from analysis.pruning.selection import select
from analysis.pruning.structured import projections, remove_units, write_kept
from analysis.replicas.replica import shape

every_model = pytest.mark.parametrize("model", families.MODELS)
every_form = pytest.mark.parametrize(("model", "form"), families.FORMS)
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta"),
]


@functools.cache
def weights_of(model):
    """All tensors, the names of those to prune, and for these the masks of half of them."""
    weights = read_weights(families.folder(model))
    names = [name for name, what in naming.weights(weights).items() if what.prunable]
    scope = Scope({name: weights[name] for name in names})
    (found,) = select(magnitude, scope, [0.5])
    return weights, names, dict(found.masks)


def stacks(model):
    return 2 if shape(model)["family"] == "encoder-decoder" else 1


@every_form
def test_it_opens_for_each_form_with_the_stored_weights_and_its_matrices_are_heard(model, form):
    opened, tokenizer = families.loaded(model, form)
    state, prefix = opened.state_dict(), opened.base_model_prefix
    weights, names, _ = weights_of(model)
    for name, array in weights.items():
        own = name_in(opened, state, name)
        if own is not None:
            assert torch.equal(state[own], torch.from_numpy(array))
        else:  # the head of another form
            assert naming.weight(name).part in ("head", "encoder")
            assert not name.startswith(f"{prefix}.encoder.")
    found = families.answers(opened, tokenizer, form)
    assert all(logits.isfinite().all() for logits in found)
    if form not in ("causal", "cloze"):  # whose texts are read in windows
        assert sum(map(len, found)) == len(families.examples(form))
    heard, batches = set(), families.batches(opened, tokenizer, form)
    masks = [name for name in batches[0] if name.endswith("attention_mask")]
    tokens = {sum(int(batch[name].sum()) for batch in batches) for name in masks}
    for inputs in blocks(opened, batches, matrices(opened, names), False):
        for name, found in inputs.items():
            assert found.tokens in tokens, name  # what DeBERTa projects of positions is none
            heard |= {name} if (found.squares > 0).any() else set()
    assert heard == {*names}


@every_model
def test_its_file_is_understood_and_holds_each_parameter_once(model):
    opened, _ = families.loaded(model, families.pretrained_form(model))
    state, (weights, names, _) = opened.state_dict(), weights_of(model)
    prunable = {
        f"{path}.weight"
        for path, module in opened.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and naming.block_of(f"{path}.weight")
    }
    assert {name_in(opened, state, name) for name in names} == prunable
    assert len(prunable) >= 4 * 2
    sizes = {name: array.shape for name, array in weights.items()}
    assert set(names) <= set(int8.quantisable(naming.weights(weights), sizes))
    checkpoint = open_checkpoint(families.folder(model))
    with Reader(checkpoint) as reader:
        found = parameters(checkpoint, reader)
    assert not any(what.tied_to for what in found.weights.values())
    missing = {name for name, _ in opened.named_parameters()}
    missing -= {name_in(opened, state, name) for name in found.counted}
    sines = {f"model.{stack}.embed_positions.weight" for stack in ("encoder", "decoder")}
    assert missing <= (sines if "pegasus" in model else set())
    record = profile(checkpoint)
    assert (record["not_understood"], record["family"]) == ([], shape(model)["family"])
    counted = record["scopes"]["model"]["statistics"]["parameters"]
    assert counted == sum(array.size for array in weights.values())
    config, shapes = shape(model)["config"], {name: a.shape for name, a in weights.items()}
    if config.get("is_gated_act"):
        with pytest.raises(RequestError, match="gated"):
            feed_forwards(shapes, config)
    else:
        assert len(feed_forwards(shapes, config)) == 2 * stacks(model)


@every_form
def test_masks_a_file_and_non_zeros_answer_the_same(model, form, tmp_path):
    """The file's names may lack the base model's prefix, as GPT-2's and BART's do on the hub."""
    masks = weights_of(model)[2]
    kept = sum(int(mask.sum()) for mask in masks.values())
    assert kept == pytest.approx(0.5 * sum(mask.size for mask in masks.values()), rel=1e-3)
    write_pruned(tmp_path / "pruned", Pruned(masks), "")
    pruned = read_pruned(tmp_path / "pruned")
    opened, tokenizer = families.loaded(model, form)
    put(opened, pruned.masks, pruned.values)
    stored = families.folder(model, form)
    write_in_place_of(stored, tmp_path / "whole", applied(read_weights(stored), pruned))
    whole, _ = families.opened(tmp_path / "whole", form)
    before, exactly = families.answers(opened, tokenizer, form), {"rtol": 0, "atol": 0}
    torch.testing.assert_close(families.answers(whole, tokenizer, form), before, **exactly)
    sparse = copy.deepcopy(opened)
    assert len(sparsify(sparse, always(TILED_CSR))) >= len(masks)
    for one, other in zip(before, families.answers(sparse, tokenizer, form), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * float(one.abs().max()))
    if form in ("causal", "text-to-text"):
        text = tokenizer(["A man wrote a letter ."], return_tensors="pt")
        asked = {name: text[name] for name in ("input_ids", "attention_mask")}
        asked |= {"max_new_tokens": 6, "min_length": 0, "do_sample": False}
        if hasattr(tokenizer, "get_lang_id"):
            asked["forced_bos_token_id"] = tokenizer.get_lang_id("fr")
        for beams in (1, 2):
            written = opened.generate(num_beams=beams, **asked)
            assert torch.equal(sparse.generate(num_beams=beams, **asked), written)
            assert written.shape[1] > 1
            assert int(written.max()) < len(tokenizer)


@every_model
def test_heads_and_neurons_go(model, tmp_path):
    form, weights = families.pretrained_form(model), weights_of(model)[0]
    calibration = families.calibration(model, form)
    config = json.loads((families.folder(model) / "config.json").read_text())
    moments, _ = moments_of(calibration, projections(naming.weights(weights)))
    smaller = remove_units(weights, config, moments, 0.3)
    assert smaller.removed == pytest.approx(0.3 * smaller.scope_weights, rel=0.1)
    assert smaller.kept["heads"] or smaller.kept["neurons"]
    write_in_place_of(families.folder(model), tmp_path / "smaller", smaller.weights)
    write_kept(tmp_path / "smaller", smaller.kept)
    answered = families.answers(*families.opened(tmp_path / "smaller", form), form)
    assert all(logits.isfinite().all() for logits in answered)
