"""Every tensor of every family is called what its module is, and counted once."""

from pathlib import Path

import pytest
import torch
import transformers
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn
from transformers.pytorch_utils import Conv1D

from analysis.checkpoints import naming
from analysis.checkpoints.naming import KINDS, PARTS, Weight, family, is_buffer, weights

KNOWN = yaml.safe_load((Path(__file__).parent / "naming.yml").read_text(encoding="utf-8"))
IDS = [case[0] for case in KNOWN["models"]]
# linear layers that are not of the block's attention or FFN
OF_POSITIONS = {"pos_key_proj", "pos_query_proj", "pos_proj", "pos_q_proj"}
OF_EMBEDDINGS = {"project_in", "project_out", "embeddings_project", "embed_proj",
                 "embedding_hidden_mapping_in", *OF_POSITIONS}  # fmt: skip


def model_of(class_name, config, device="meta"):
    """A model of that class; on the meta device without values: its names and shapes."""
    model_class = getattr(transformers, class_name)
    with torch.device(device):
        return model_class(model_class.config_class(**config))


def stored(class_name, config, folder):
    """What the tensors are that transformers saves of a model of that class."""
    model_of(class_name, config, "cpu").save_pretrained(folder)
    with safe_open(folder / "model.safetensors", framework="pt") as tensors:
        return weights(tensors.keys())


def in_memory(model):
    """The state dict, and what each tensor of it is; the same object means the same values."""
    state = dict(model.state_dict(keep_vars=True))
    return state, weights(state, same=lambda one, other: state[one] is state[other])


def parameters_in(model, *classes, ending=""):
    """Parameters that modules of these classes, or of names that end so, own themselves."""
    return {
        f"{name}.{own}"
        for name, module in model.named_modules(remove_duplicate=False)
        if (isinstance(module, classes) if classes else type(module).__name__.endswith(ending))
        for own, _ in module.named_parameters(recurse=False)
    }


def number_of_block(model, parameters):
    """For each parameter inside a list of modules, its number in the outermost list."""
    lists = [f"{n}." for n, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    outermost = [n for n in lists if not any(n != other and n.startswith(other) for other in lists)]
    inside = [(name, n) for name in parameters for n in outermost if name.startswith(n)]
    return {name: int(name.removeprefix(prefix).split(".")[0]) for name, prefix in inside}


@pytest.mark.parametrize(("class_name", "config", "blocks"), KNOWN["models"], ids=IDS)
def test_the_tensors_of_a_model_are_called_what_its_modules_are(class_name, config, blocks):
    model = model_of(class_name, config)
    state, named = in_memory(model)
    every = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    numbers = number_of_block(model, every)

    def called(*kinds):
        return {name for name, what in named.items() if what.kind in kinds}

    # every parameter is understood, and buffers are left out
    assert list(named) == sorted(every)
    assert {name for name in state if is_buffer(name)} == state.keys() - every
    assert [name for name, what in named.items() if not what.understood] == []
    # each is counted once
    counted = {name for name, what in named.items() if what.tied_to is None}
    whole = sum(parameter.numel() for parameter in model.parameters())
    assert sum(state[name].numel() for name in counted) == whole
    for name, what in named.items():
        if what.tied_to is not None:
            assert state[name] is state[what.tied_to]
    # prunable are the linear layers' matrices in the blocks, and experts; routers are not
    linear = parameters_in(model, nn.Linear, Conv1D)
    matrices = {name for name in linear if name.endswith(".weight")}
    routers = [n for n, module in model.named_modules() if type(module).__name__.endswith("Router")]
    routing = {name for name in every if name.startswith(tuple(f"{n}." for n in routers))}
    to_prune = {n for n in matrices - routing if n.split(".")[-2] not in OF_POSITIONS}
    to_prune = (to_prune | parameters_in(model, ending="Experts")) & numbers.keys()
    assert {name for name, what in named.items() if what.prunable} == to_prune != set()
    # the other kinds
    norms = parameters_in(model, ending="Norm")
    assert called("norm") == norms
    projections = {n for n in matrices if n.split(".")[-2] in OF_EMBEDDINGS}
    embeddings = called("token embedding", "position")
    assert embeddings == parameters_in(model, nn.Embedding) | projections
    assert {n for n in embeddings if named[n].part != "embedding"} == embeddings & numbers.keys()
    convolutions = parameters_in(model, nn.Conv1d)
    assert called("convolution") == {n for n in convolutions if n.endswith(".weight")}
    assert called("bias") == {n for n in every if n.endswith("bias")} - norms
    elsewhere = {n for n in called("head") if named[n].part != "head" and "pooler" not in n}
    assert elsewhere <= routing
    # blocks are numbered as they lie in their lists
    assert {name: what.layer for name, what in named.items() if what.layer is not None} == numbers
    found = {(named[name].part, layer) for name, layer in numbers.items()}
    assert found == {(part, i) for part, count in blocks.items() for i in range(count)}
    assert family(named.values()) == "-".join(blocks) + ("-only" if len(blocks) == 1 else "")
    # the head is all that the base model has not, but the pooler
    of_base = {id(parameter) for parameter in model.base_model.parameters()}
    heads = {name for name in counted if named[name].part == "head"}
    outside = {name for name in counted if id(state[name]) not in of_base}
    assert heads == {name for name in outside if "pooler" not in name}
    assert {named[name].kind for name in heads} <= {"head", "bias", "norm"}
    # the bare model is saved without `bert.`
    for name, what in named.items():
        found = naming.weight(name.removeprefix(f"{model.base_model_prefix}."))
        assert (found.part, found.layer, found.kind) == (what.part, what.layer, what.kind)
    # what no architecture ties is never compared, and without a comparison nothing is tied
    asked = set()
    weights(state, same=lambda *pair: not asked.update(pair))
    assert {(named[n].layer, named[n].part) for n in asked} <= {(None, "embedding"), (None, "head")}
    assert not any(what.tied_to for what in weights(state).values())


def test_all_that_is_stored_is_understood_but_a_state_space_model_has_no_attention(tmp_path):
    for class_name, config in KNOWN["saved"]:
        named = stored(class_name, config, tmp_path / class_name)
        assert named
        assert [name for name, what in named.items() if not what.understood] == [], class_name
    for class_name, config in KNOWN["state spaces"]:
        _, named = in_memory(model_of(class_name, config))
        mixers = {name for name, what in named.items() if ".mixer." in name and what.kind != "norm"}
        assert {"in_proj.weight", "out_proj.weight"} <= {name.split("mixer.")[1] for name in mixers}
        assert not any(named[name].understood for name in mixers), class_name
        assert not any(what.prunable for what in named.values()), class_name


def test_all_linear_layers_inside_the_blocks_are_prunable():
    for class_name, config, others in KNOWN["linear"]:
        model = model_of(class_name, config)
        _, named = in_memory(model)
        linear = {name for name in parameters_in(model, nn.Linear) if name.endswith(".weight")}
        inside = {name for name in linear if naming.block_of(name)}
        assert inside >= {name for name in linear if any(p.isdigit() for p in name.split("."))}
        left = {name.split(".")[-2] for name in inside if not named[name].prunable}
        assert left == {*others}, class_name


def test_no_model_of_images_is_called_a_decoder(tmp_path):
    for class_name, config in KNOWN["images"]:
        _, held = in_memory(model_of(class_name, config))
        on_disk = stored(class_name, config, tmp_path / class_name)
        assert "decoder" not in {what.part for what in (*held.values(), *on_disk.values())}
        assert family(held.values()) in (None, "encoder-only"), class_name
        assert family(on_disk.values()) == "encoder-only", class_name
        for name, what in on_disk.items():
            in_block = ".layer." in name or ".layers." in name
            assert what.understood or not in_block or "lambda" in name
            assert what.prunable == (in_block and name.endswith(".weight") and "norm" not in name)


def test_blocks_are_a_decoders_unless_the_checkpoint_shows_another_model():
    for parts in KNOWN["together"]:
        named = weights(parts)
        assert {name: what.part for name, what in named.items()} == parts
        assert all(what.understood or what.kind == name for name, what in named.items())


def test_counts_are_those_published_and_of_equal_tensors_the_embedding_is_counted():
    for class_name, config, published in KNOWN["published"]:
        state, named = in_memory(model_of(class_name, config))
        counted = [name for name, what in named.items() if what.tied_to is None]
        assert sum(state[name].numel() for name in counted) == published, class_name
    for source, tied in KNOWN["tied"]:
        named = weights([*tied, "lm_head.dense.bias", source], same=lambda one, other: True)
        found = {name: what.tied_to for name, what in named.items() if what.tied_to}
        assert found == dict.fromkeys(tied, source)


def test_tensors_are_called_by_the_fields_words_left_out_or_said_not_to_be_understood():
    for line in KNOWN["tensors"].splitlines():
        name, part, layer, kind = line.split(maxsplit=3)
        found = naming.weight(name)
        assert found == Weight(name, part, None if layer == "-" else int(layer), kind)
    for old, todays in KNOWN["old"].items():  # stored names stay the keys
        assert weights([old]) == {old: naming.weight(todays)}
        assert naming.weight(todays).name == todays
    for name in KNOWN["buffers"].split():
        assert (is_buffer(name), weights([name])) == (True, {}), name
    for name in ("", *KNOWN["unknown"].split()):
        what = naming.weight(name)
        assert (what.understood, what.prunable, what.tied_to) == (False, False, None)
        assert (what.part, what.layer, what.kind) == ("other", None, name)
        assert weights([name]).keys() == {name}
    for expected, names in KNOWN["families"]:
        assert family(weights(names).values()) == expected, names


PIECES = st.lists(st.sampled_from(KNOWN["pieces"].split()), max_size=9)
NAMES = st.text(max_size=30) | PIECES.map(".".join)


@settings(max_examples=50)
@given(st.lists(NAMES), st.booleans())
def test_any_name_is_understood_or_said_not_to_be_and_tied_to_one_that_counts(names, same):
    named = weights(names, same=lambda one, other: same)
    assert list(named) == sorted({name for name in names if not is_buffer(name)})
    for name, what in named.items():
        assert what.kind in KINDS if what.understood else (what.layer, what.kind) == (None, name)
        assert what.part in PARTS
        assert not (what.prunable and what.layer is None)
        if what.tied_to is not None:
            assert (same, named[what.tied_to].tied_to) == (True, None)
            assert what.tied_to != name
    assert family(named.values()) in (None, "encoder-only", "decoder-only", "encoder-decoder")
