"""Each architecture pruned: by size, by what goes into its layers, and by whole heads."""

import json

import families
import numpy as np
import pytest
import torch

from analysis import pruning
from analysis.calibration.lockstep import blocks
from analysis.calibration.matrices import matrices
from analysis.calibration.moments import moments_of
from analysis.errors import RequestError
from analysis.models import naming
from analysis.models.loading import load_model, put
from analysis.models.weights import read_weights, write_in_place_of
from analysis.pruning.calibrated import select
from analysis.pruning.masks import Pruned, applied, read_pruned, write_pruned
from analysis.pruning.scope import Scope, stored_by_input
from analysis.pruning.structured import projections, remove_units, write_kept

every_model = pytest.mark.parametrize("model", families.MODELS)
every_form = pytest.mark.parametrize(("model", "form"), families.FORMS)
pytestmark = pytest.mark.usefixtures("one_thread")


def weights_of(model):
    """All tensors, and the names of those to prune."""
    weights = read_weights(families.folder(model))
    named = naming.weights(weights)
    return weights, [name for name, what in named.items() if what.prunable]


def magnitude(model, sparsity=0.5):
    """The masks of magnitude pruning over all matrices."""
    weights, names = weights_of(model)
    shapes = {name: array.shape for name, array in weights.items()}
    scope = Scope({name: weights[name] for name in names}, stored_by_input(shapes))
    (found,) = pruning.method("magnitude").select(scope, [sparsity])
    return {name: found.masks[name] for name in names}


@every_form
def test_masks_and_values_by_stored_names_reach_the_model_of_each_form(model, form, tmp_path):
    """The file's names may lack the base model's prefix, as GPT-2's and BART's do on the hub."""
    masks = magnitude(model)
    kept = sum(int(mask.sum()) for mask in masks.values())
    assert kept == pytest.approx(0.5 * sum(mask.size for mask in masks.values()), rel=1e-3)
    write_pruned(tmp_path / "pruned", Pruned(masks), "")
    pruned = read_pruned(tmp_path / "pruned")

    opened, tokenizer = families.loaded(model, form)
    put(opened, pruned.masks, pruned.values)
    stored = families.folder(model, form)
    write_in_place_of(stored, tmp_path / "whole", applied(read_weights(stored), pruned))
    with torch.random.fork_rng(devices=[]):
        again, _ = load_model(tmp_path / "whole", form, "cpu")
    families.ready(again, tokenizer)
    zeros = {n: int((p == 0).sum()) for n, p in opened.named_parameters() if p.ndim > 1}
    assert zeros == {n: int((p == 0).sum()) for n, p in again.named_parameters() if p.ndim > 1}
    assert sum(zeros.values()) >= sum(mask.size for mask in masks.values()) - kept
    if form == families.pretrained_form(model):
        for batch in families.batches(opened, tokenizer, form):
            assert torch.equal(families.logits(opened, batch), families.logits(again, batch))


@every_form
def test_calibration_halts_at_every_block_and_hears_every_matrix(model, form):
    calibration = families.calibration(model, form)
    opened = calibration.load()
    names = weights_of(model)[1]
    tokens = {}
    for inputs in blocks(opened, calibration.batches(opened), matrices(opened, names), False):
        for name, found in inputs.items():
            tokens[name] = found.tokens
            assert (found.squares > 0).any()
    assert sorted(tokens) == names


def test_what_deberta_projects_of_relative_positions_is_no_token():
    """Its queries' and keys' matrices are run on these too, as many rows as there are buckets."""
    model = "microsoft/deberta-v2-xxlarge"
    calibration = families.calibration(model, "masked")
    opened = calibration.load()
    batches = calibration.batches(opened)
    name = "deberta.encoder.layer.0.attention.self.query_proj.weight"
    (found,) = blocks(opened, batches, matrices(opened, [name]), True)

    entered = []
    module = opened.get_submodule(name.removesuffix(".weight"))
    module.register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    tokens = []
    with torch.no_grad():
        for batch in batches:
            entered.clear()
            opened(**batch)
            states, positions = entered
            assert positions.shape[:2] == (1, 2 * opened.config.position_buckets)
            tokens.append(states[batch["attention_mask"].bool()])
    x = torch.cat(tokens)
    assert found[name].tokens == len(x)
    torch.testing.assert_close(found[name].products, x.T @ x, rtol=1e-3, atol=1e-3)


@every_model
@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
def test_calibrated_methods_reach_half_of_every_matrix(model, method):
    form = families.pretrained_form(model)
    names = weights_of(model)[1]
    (found,) = select(pruning.method(method), names, [0.5], families.calibration(model, form))
    assert sorted(found.masks) == names
    for name in names:
        mask = found.masks[name]
        assert mask.sum() == pytest.approx(mask.size / 2, abs=mask.shape[0])
    assert bool(found.values) == (method == "sparsegpt")
    for name, values in found.values.items():
        assert np.isfinite(values).all()
        assert not values[~found.masks[name]].any()


@every_model
def test_heads_and_neurons_go_or_are_refused_in_one_line(model, tmp_path):
    weights, _ = weights_of(model)
    config = json.loads((families.folder(model) / "config.json").read_text())
    form = families.pretrained_form(model)
    moments = moments_of(families.calibration(model, form), projections(naming.weights(weights)))
    smaller = remove_units(weights, config, moments, 0.3)
    assert smaller.removed == pytest.approx(0.3 * smaller.scope_weights, rel=0.1)
    assert smaller.kept["heads"] or smaller.kept["neurons"]
    out = tmp_path / "smaller"
    write_in_place_of(families.folder(model), out, smaller.weights)
    write_kept(out, smaller.kept)
    opened, tokenizer = load_model(out, form, "cpu")
    families.ready(opened, tokenizer)
    with torch.no_grad():
        for batch in families.batches(opened, tokenizer, form):
            assert families.logits(opened, batch).isfinite().all()


def test_a_type_of_model_whose_heads_are_not_known_is_refused():
    with pytest.raises(RequestError, match=r"model_type 'unheard-of'.*allowed: .*bert"):
        remove_units({}, {"model_type": "unheard-of"}, {}, 0.5)
