"""Eight bits a weight: codes as an oracle rounds them, and answers near the float model's."""

import copy
import warnings

import architectures
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file, save_file
from torch.ao.nn.quantized import dynamic

from analysis.alternatives import ALTERNATIVE, int8, read_alternative
from analysis.errors import RequestError, RunError
from analysis.models import naming
from analysis.models.loading import load_model, open_model
from analysis.models.weights import read_weights, weights_sha256
from analysis.objects import Objects
from analysis.steps.quantised import quantise_checkpoint

every_architecture = pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
GENERATING = ["GPT2", "Llama", "Bart", "Pegasus", "M2M100", "T5"]
TIED = ["Bert", "Roberta", "GPT2", "Bart", "Pegasus", "M2M100", "T5"]
NAME = "encoder.layer.0.output.dense.weight"
MATRICES = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for their threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(architecture, kind=None):
    """A model with random weights, and what `save_pretrained` writes of it."""
    torch.manual_seed(0)
    kind = kind or architectures.ARCHITECTURES[architecture][0]
    config = architectures.model(architecture).config
    config.decoder_start_token_id = 2
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "norm" not in name.lower() and "ln_" not in name:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model


class Same:
    """An auto class for the very class of a model."""

    def __init__(self, model):
        self.kind = type(model)

    def from_config(self, config, dtype):
        return self.kind._from_config(config, dtype=dtype)


def quantised(folder, model):
    """The record of its quantised copy, and where that lies; the float model lies in folder."""
    model.save_pretrained(folder / "float")
    objects = Objects(folder / "objects")
    with objects.scratch() as scratch:
        (folder / "float").rename(scratch / "float")
        digest = objects.adopt(scratch / "float")
    record = quantise_checkpoint(objects, checkpoint=digest, weights_sha256="")
    return record, objects.open(record["checkpoint"]["object"])


def inputs(model):
    torch.manual_seed(1)
    ids = torch.randint(3, 60, (3, 9))
    ids[:, -1] = 1  # where BART's classifier reads
    mask = torch.ones_like(ids)
    batch = {"input_ids": ids, "attention_mask": mask}
    if model.config.is_encoder_decoder and "Classification" not in type(model).__name__:
        batch["decoder_input_ids"] = torch.randint(3, 60, (3, 5))
    return batch


@torch.no_grad()
def logits(model):
    return model(**inputs(model)).logits


def layers(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, dynamic.Linear)}


# -- the arithmetic -------------------------------------------------------------------------------


@given(MATRICES)
def test_codes_are_the_weights_rounded_to_their_channels_scale(weight):
    tensors, facts = int8.quantise({NAME: weight}, [NAME])
    codes, scales = tensors[NAME], tensors[f"{NAME}_scale"]
    assert (codes.dtype, codes.shape) == (np.int8, weight.shape)
    assert (scales.dtype, scales.shape) == (np.float32, weight.shape[:1])
    for row, coded, scale in zip(weight.tolist(), codes.tolist(), scales, strict=True):
        largest = max(abs(value) for value in row)
        if largest < 127 * np.finfo(np.float32).tiny:
            assert scale == 1
        else:
            assert scale == np.float32(largest / 127)
            assert max(abs(code) for code in coded) == 127
        assert coded == [round(value / float(scale)) for value in row]
    assert facts == {"output_axis": {NAME: 0}}


@given(MATRICES)
def test_no_weight_is_off_by_more_than_half_a_scale(weight):
    tensors, facts = int8.quantise({NAME: weight}, [NAME])
    back = int8.plain(tensors, facts)
    assert set(back) == {NAME}
    assert back[NAME].dtype == np.float32
    scale = tensors[f"{NAME}_scale"][:, None].astype(np.float64)
    error = np.abs(back[NAME].astype(np.float64) - weight)
    assert (error <= scale * (0.5 + 127 * 2**-23)).all()  # and float32's own rounding
    again, _ = int8.quantise(back, [NAME])
    assert (again[NAME] == tensors[NAME]).all()


def test_zeros_stay_zeros():
    weight = np.array([[0, 0, -0.0], [1, 0, -2]], np.float32)
    tensors, facts = int8.quantise({NAME: weight}, [NAME])
    assert tensors[f"{NAME}_scale"][0] == 1
    assert (int8.plain(tensors, facts)[NAME][weight == 0] == 0).all()


def test_what_is_given_stays_as_it_is_and_the_rest_is_handed_on():
    weight, bias = np.ones((2, 3), np.float32), np.ones(2, np.float32)
    for array in (weight, bias):
        array.setflags(write=False)
    tensors, _ = int8.quantise({NAME: weight, "b": bias}, [NAME])
    assert sorted(tensors) == ["b", NAME, f"{NAME}_scale"]
    assert tensors["b"] is bias


def test_conv1ds_outputs_are_its_columns():
    shapes = {"h.0.mlp.c_fc.weight": (4, 16), "h.0.attn.c_proj.weight": (4, 4)}
    generator = np.random.default_rng(0)
    weights = {n: generator.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    tensors, facts = int8.quantise(weights, list(weights))
    assert facts["output_axis"] == dict.fromkeys(weights, 1)
    for name, weight in weights.items():
        scales = tensors[f"{name}_scale"]
        np.testing.assert_array_equal(scales, np.abs(weight).max(axis=0) / np.float32(127))
        assert (int8.plain(tensors, facts)[name] == tensors[name] * scales).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(bad):
    weight = np.array([[1, bad]], np.float32)
    with pytest.raises(RunError, match="1 of 2 weights are NaN or infinite"):
        int8.quantise({NAME: weight}, [NAME])


# -- which matrices -------------------------------------------------------------------------------


@every_architecture
def test_prunable_matrices_are_quantised_and_embeddings_norms_and_biases_not(architecture):
    weights = {n: t.numpy() for n, t in make(architecture).state_dict().items()}
    names = int8.quantisable(weights)
    named = naming.weights(weights)
    assert {n for n, what in named.items() if what.prunable} <= set(names)
    kinds = {named[name].kind for name in names if not named[name].prunable}
    assert kinds <= {"head"}
    over_vocabulary = {name for name in names if weights[name].shape[0] == 60}
    assert over_vocabulary == ({"lm_head.weight"} if architecture == "Llama" else set())


def test_a_head_that_alone_holds_the_tied_matrix_stays():
    block = {"model.layers.0.mlp.up_proj.weight": np.ones((2, 2), np.float32)}
    head = {"lm_head.weight": np.ones((5, 2), np.float32)}
    other = {"model.embed_tokens.weight": np.zeros((5, 2), np.float32)}
    assert int8.quantisable(block | head) == [*block]
    assert int8.quantisable(block | head | other) == ["lm_head.weight", *block]
    assert int8.quantisable(block | head | {"model.embed_tokens.weight": head["lm_head.weight"]})
    assert int8.quantisable(head | {"model.embed_tokens.weight": head["lm_head.weight"]}) == []


# -- models ---------------------------------------------------------------------------------------


@every_architecture
def test_a_quantised_model_answers_nearly_as_the_float_one(tmp_path, architecture):
    model = make(architecture)
    expected, dense = logits(model), copy.deepcopy(model)
    record, folder = quantised(tmp_path, model)
    tensors, facts = load_file(folder / "model.safetensors"), read_alternative(folder)
    loaded = open_model(folder, Same(model))
    assert not loaded.training
    assert len(layers(loaded)) == len(facts["output_axis"])
    state = dense.state_dict()
    for name, weight in int8.plain(tensors, facts).items():
        state[name].copy_(torch.from_numpy(weight))
    # the weights' rounding: a scale is 2 to 3 standard deviations / 127, its error that / sqrt(12)
    assert apart(logits(dense), expected) < 0.05
    # and the activations', in seven bits, the range 4 to 6 deviations, through some ten layers
    assert apart(logits(loaded), logits(dense)) < 0.1
    assert not torch.equal(logits(loaded), logits(dense))
    assert record["parameters"] == sum(p.numel() for p in model.parameters())
    assert record["quantised_weights"] == sum(tensors[n].size for n in facts["output_axis"])


def apart(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("architecture", ["Bert", "Roberta", "GPT2", "Bart", "T5", "Llama"])
def test_a_classifiers_head_is_quantised_too(tmp_path, architecture):
    model = make(architecture, f"{architecture}ForSequenceClassification")
    _, folder = quantised(tmp_path, model)
    loaded = open_model(folder, Same(model))
    assert apart(logits(loaded), logits(model)) < 0.15
    linear = [m for m in loaded.modules() if isinstance(m, torch.nn.Linear)]
    assert not linear
    assert not [m for m in loaded.modules() if type(m).__name__ == "Conv1D"]


def test_a_layers_error_is_no_more_than_rounding_its_inputs(tmp_path):
    """|y − W x| ≤ s · Σ|w|, where s is the step of inputs in seven bits."""
    model = make("Bert", "BertForSequenceClassification")
    _, folder = quantised(tmp_path, model)
    loaded = open_model(folder, Same(model))
    weights = int8.plain(read_weights(folder), read_alternative(folder))
    generator = torch.Generator().manual_seed(0)
    for name, layer in layers(loaded).items():
        weight = torch.from_numpy(weights[f"{name}.weight"])
        bias = model.get_submodule(name).bias
        x = torch.randn(7, weight.shape[1], generator=generator) * 3
        step = (x.max().clamp(min=0) - x.min().clamp(max=0)) / 127
        exact = torch.nn.functional.linear(x, weight, bias)
        bound = step * weight.abs().sum(1) + 1e-5
        assert ((layer(x) - exact).abs() <= bound).all()


@pytest.mark.parametrize("architecture", TIED)
def test_a_tied_head_stays_tied_and_float(tmp_path, architecture):
    model = make(architecture)
    _, folder = quantised(tmp_path, model)
    loaded = open_model(folder, Same(model))
    head, embedding = loaded.get_output_embeddings(), loaded.get_input_embeddings()
    assert type(head) is torch.nn.Linear
    assert head.weight is embedding.weight
    assert torch.equal(embedding.weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("architecture", GENERATING)
@pytest.mark.parametrize("beams", [1, 3])
def test_it_generates(tmp_path, architecture, beams):
    model = make(architecture)
    _, folder = quantised(tmp_path, model)
    loaded = open_model(folder, Same(model))
    ids = inputs(model)["input_ids"][:1]
    made = loaded.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, min_new_tokens=6,
        do_sample=False, num_beams=beams,
    )  # fmt: skip
    assert made.shape == (1, 7 if model.config.is_encoder_decoder else ids.shape[1] + 6)


def test_the_file_holds_the_very_codes_and_scales_that_run(tmp_path):
    model = make("GPT2")
    record, folder = quantised(tmp_path, model)
    tensors = load_file(folder / "model.safetensors")
    assert record["weights_sha256"] == weights_sha256(tensors)
    loaded = open_model(folder, Same(model))
    for name, layer in layers(loaded).items():
        weight = layer.weight()
        assert (weight.int_repr().numpy() == tensors[f"{name}.weight"].T).all()
        scales = weight.q_per_channel_scales().float().numpy()
        assert (scales == tensors[f"{name}.weight_scale"]).all()
        assert not weight.q_per_channel_zero_points().any()
    untouched = set(tensors) - {n for n in tensors if tensors[n].dtype == np.int8}
    state = model.state_dict()
    for name in untouched - {n for n in untouched if n.endswith("_scale")}:
        assert (tensors[name] == state[name].numpy()).all()


def test_the_base_models_prefix_does_not_matter(tmp_path):
    model = make("GPT2", "GPT2ForSequenceClassification")
    bare = make("GPT2", "GPT2Model")
    _, folder = quantised(tmp_path, bare)
    tensors = load_file(folder / "model.safetensors")
    assert not any(name.startswith("transformer.") for name in tensors)
    tensors["score.weight"] = model.score.weight.detach().numpy()
    save_file(tensors, folder / "model.safetensors")
    loaded = open_model(folder, Same(model))
    assert len(layers(loaded)) == 8
    assert type(loaded.score) is torch.nn.Linear


def test_nothing_is_warned_of(tmp_path):
    model = make("Bert", "BertForSequenceClassification")
    _, folder = quantised(tmp_path, model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logits(open_model(folder, Same(model)))


def test_what_is_quantised_is_not_quantised_again(tmp_path):
    record, folder = quantised(tmp_path, make("Bert"))
    assert (folder / ALTERNATIVE).is_file()
    objects = Objects(tmp_path / "objects")
    with pytest.raises(RequestError, match="holds an alternative already"):
        quantise_checkpoint(objects, checkpoint=record["checkpoint"]["object"], weights_sha256="")


def test_another_device_is_refused_in_one_line(tmp_path):
    _, folder = quantised(tmp_path, make("Bert", "BertForSequenceClassification"))
    with pytest.raises(RequestError, match=r"int8, which runs on the CPU.*'cuda:0'") as caught:
        load_model(folder, "classification", "cuda:0")
    assert "\n" not in str(caught.value)
