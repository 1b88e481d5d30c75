"""A published model of each architecture, as a tiny replica: opened, named, counted, profiled."""

import families
import pytest
import torch
from safetensors import safe_open
from torch import nn
from transformers.pytorch_utils import Conv1D

from analysis.models import naming
from analysis.models.checkpoint import open_checkpoint
from analysis.models.filling import name_in
from analysis.models.parameters import parameters
from analysis.models.replicas import shape
from analysis.models.tensors import Reader
from analysis.profile.checkpoint import profile

every_model = pytest.mark.parametrize("model", families.MODELS)
every_form = pytest.mark.parametrize(("model", "form"), families.FORMS)
pytestmark = pytest.mark.usefixtures("one_thread")


def stored(model):
    """The tensors of the checkpoint's file."""
    with safe_open(families.folder(model) / "model.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@every_form
def test_it_opens_for_each_form_with_the_stored_weights_and_answers(model, form):
    opened, tokenizer = families.loaded(model, form)
    state, prefix = opened.state_dict(), opened.base_model_prefix
    for name, tensor in stored(model).items():
        own = name_in(opened, state, name)
        if own is not None:
            assert torch.equal(state[own], tensor)
        else:  # the head of another form
            assert naming.weight(name).part in ("head", "encoder")
            assert not name.startswith(f"{prefix}.encoder.")
    with torch.no_grad():
        for batch in families.batches(opened, tokenizer, form):
            found = families.logits(opened, batch)
            assert found.isfinite().all()
            assert len(found) == len(batch["input_ids"])


@every_model
def test_every_stored_tensor_is_understood(model):
    named = naming.weights(stored(model))
    assert [name for name, what in named.items() if not what.understood] == []
    assert naming.family(named.values()) == shape(model)["family"]


@every_model
def test_the_linear_layers_of_the_blocks_are_prunable_and_nothing_else_is(model):
    opened, _ = families.loaded(model, families.pretrained_form(model))
    expected = {
        f"{path}.weight"
        for path, module in opened.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and naming.block_of(f"{path}.weight")
    }
    state = opened.state_dict()
    named = naming.weights(stored(model))
    assert {name_in(opened, state, n) for n, what in named.items() if what.prunable} == expected
    assert len(expected) >= 4 * 2


@every_model
def test_the_file_holds_each_parameter_once(model):
    opened, _ = families.loaded(model, families.pretrained_form(model))
    checkpoint = open_checkpoint(families.folder(model))
    with Reader(checkpoint) as reader:
        found = parameters(checkpoint, reader)
    assert not any(what.tied_to for what in found.weights.values())
    own = {name_in(opened, opened.state_dict(), name) for name in found.counted}
    named = {name for name, _ in opened.named_parameters()}
    sines = {f"model.{stack}.embed_positions.weight" for stack in ("encoder", "decoder")}
    assert named - own <= (sines if "pegasus" in model else set())


@every_model
def test_its_profile_counts_every_weight(model):
    record = profile(open_checkpoint(families.folder(model)))
    assert record["not_understood"] == []
    assert record["family"] == shape(model)["family"]
    sizes = sum(tensor.numel() for tensor in stored(model).values())
    assert record["scopes"]["model"]["statistics"]["parameters"] == sizes
