"""Eight bits a weight: codes as an oracle rounds them, and answers near the float model's."""

import copy
import functools
from types import SimpleNamespace

import architectures
import numpy as np
import pytest
import torch
from checkpoints import weights_sha256
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from random_models import CLASSIFIER, answers, inputs, random_model
from safetensors.numpy import load_file, save_file
from torch.ao.nn.quantized import dynamic
from transformers.pytorch_utils import Conv1D

from analysis.alternatives.kinds import int8
from analysis.checkpoints import naming
from analysis.errors import RequestError, RunError
from analysis.models.alternative import ALTERNATIVE, read_alternative
from analysis.models.loading import load_model, open_model
from analysis.steps.alternatives.int8 import quantise_checkpoint

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("error")]
NAME, BIAS = "encoder.layer.0.output.dense.weight", np.ones(2, np.float32)
# matrices of heads that are not tied to an embedding
HEADS = {"Llama": "lm_head.weight", "Roberta": "lm_head.dense.weight"}
HEADS |= dict.fromkeys(("Bert", "DebertaV2"), "cls.predictions.transform.dense.weight")
SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)
MATRICES = arrays.arrays(np.float32, SHAPES, elements=st.floats(-(2.0**100), 2.0**100, width=32))


def opened(folder, of):
    """What is in the folder, as the very class of a model."""
    return open_model(folder, SimpleNamespace(from_config=type(of)._from_config))


@functools.cache
def quantised(objects, architecture, form=None):
    """A model, the record of its quantised copy, where that lies, and what is opened there."""
    whole = random_model(architecture, form)
    with objects.scratch() as scratch:
        whole.save_pretrained(scratch / "float")
        digest = objects.adopt(scratch / "float")
    record = quantise_checkpoint(objects, checkpoint=digest, weights_sha256="")
    folder = objects.open(record["checkpoint"]["object"])
    return whole, record, folder, opened(folder, whole)


def apart(one, other):
    return float((answers(one) - answers(other)).norm() / answers(other).norm())


def layers(of):
    return {n: m for n, m in of.named_modules() if isinstance(m, dynamic.Linear)}


@given(MATRICES, st.sampled_from([(), (NAME,)]))
def test_codes_are_the_weights_rounded_to_their_channels_scale(stored, by_input):
    stored.setflags(write=False)
    tensors, facts = int8.quantise({NAME: stored, "bias": BIAS}, [NAME], by_input)
    assert facts == {"output_axis": {NAME: len(by_input)}}
    assert (tensors.keys(), tensors["bias"] is BIAS) == ({NAME, "bias", f"{NAME}_scale"}, True)
    codes, scales = tensors[NAME], tensors[f"{NAME}_scale"]
    assert (codes.dtype, codes.shape) == (np.int8, stored.shape)
    weight, codes = (stored.T, codes.T) if by_input else (stored, codes)  # as of a Conv1D
    assert (scales.dtype, scales.shape) == (np.float32, weight.shape[:1])
    for row, coded, scale in zip(weight.tolist(), codes.tolist(), scales, strict=True):
        largest = max(abs(value) for value in row)
        if largest < 127 * np.finfo(np.float32).tiny:
            assert scale == 1
        else:
            assert scale == np.float32(largest / 127)
            assert max(abs(code) for code in coded) == 127
        assert coded == [round(value / float(scale)) for value in row]
    back = int8.plain(tensors, facts)
    assert (back.keys(), back[NAME].dtype) == ({NAME, "bias"}, np.float32)
    again = back[NAME].T if by_input else back[NAME]
    error = np.abs(again.astype(np.float64) - weight)
    # half a scale, and float32's own rounding
    assert (error <= scales[:, None].astype(np.float64) * (0.5 + 127 * 2**-23)).all()
    assert (int8.quantise(back, [NAME], by_input)[0][NAME] == tensors[NAME]).all()


def test_weights_that_are_not_finite_are_counted():
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(RunError, match="1 of 2 weights are NaN or infinite"):
            int8.quantise({NAME: np.array([[1, bad]], np.float32)}, [NAME], ())


def quantisable(weights):
    named = naming.weights(weights, lambda a, b: np.array_equal(weights[a], weights[b]))
    return int8.quantisable(named, {name: array.shape for name, array in weights.items()})


def test_a_head_that_alone_holds_the_tied_matrix_stays():
    block = {"model.layers.0.mlp.up_proj.weight": np.ones((2, 2), np.float32)}
    head = {"lm_head.weight": np.ones((5, 2), np.float32)}
    other, same = ({"model.embed_tokens.weight": np.full((5, 2), n, np.float32)} for n in (0, 1))
    given = block | head, block | head | other, block | head | same, head | same
    expected = [[*block], ["lm_head.weight", *block], [*block], []]
    assert [quantisable(weights) for weights in given] == expected


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_a_quantised_model_runs_its_files_codes_nearly_as_the_float_one(objects, architecture):
    whole, record, folder, loaded = quantised(objects, architecture)
    tensors, facts = load_file(folder / "model.safetensors"), read_alternative(folder)
    weights = {name: tensor.numpy() for name, tensor in whole.state_dict().items()}
    names, named = {*facts["output_axis"]}, naming.weights(weights)
    # which matrices: all prunable ones, and of the head what is tied to nothing
    prunable = {name for name, what in named.items() if what.prunable}
    assert names == prunable | {name for name in (HEADS.get(architecture),) if name}
    assert record["parameters"] == sum(p.numel() for p in whole.parameters())
    assert record["quantised_weights"] == sum(tensors[n].size for n in names)
    assert record["weights_sha256"] == weights_sha256(tensors)
    # the very codes and scales of the file run, and what is not quantised is as it was
    assert len(layers(loaded)) == len(names)
    for name, layer in layers(loaded).items():
        codes = np.moveaxis(tensors[f"{name}.weight"], facts["output_axis"][f"{name}.weight"], 0)
        assert (layer.weight().int_repr().numpy() == codes).all()
        scales = layer.weight().q_per_channel_scales().float().numpy()
        assert (scales == tensors[f"{name}.weight_scale"]).all()
        assert not layer.weight().q_per_channel_zero_points().any()
    for name in tensors.keys() - names - {f"{name}_scale" for name in names}:
        assert (tensors[name] == weights[name]).all()
    dense, plain = copy.deepcopy(whole), int8.plain(tensors, facts)
    dense.load_state_dict({n: torch.from_numpy(w) for n, w in plain.items()}, strict=False)
    # the weights' rounding: a scale is 2 to 3 standard deviations / 127, its error that / sqrt(12)
    assert apart(dense, whole) < 0.05
    # and the activations', in seven bits, the range 4 to 6 deviations, through some ten layers
    assert 0 < apart(loaded, dense) < 0.15
    assert not loaded.training
    head, embedding = loaded.get_output_embeddings(), loaded.get_input_embeddings()
    if architecture not in ("Llama", "DebertaV2"):  # tied, it stays so, and float
        assert (type(head), head.weight is embedding.weight) == (torch.nn.Linear, True)
        assert torch.equal(embedding.weight, whole.get_input_embeddings().weight)
    for beams in (1, 3) if "MaskedLM" not in type(whole).__name__ else ():
        asked = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "num_beams": beams}
        text = {name: ids[:1] for name, ids in inputs(whole).items() if "decoder" not in name}
        length = 1 if whole.config.is_encoder_decoder else text["input_ids"].shape[1]
        assert loaded.generate(**text, **asked).shape == (1, length + 6)


def test_a_classifiers_head_is_quantised_too(objects):
    for architecture in ("Bert", "Roberta", "GPT2", "Bart", "T5"):
        whole, _, _, loaded = quantised(objects, architecture, CLASSIFIER)
        assert apart(loaded, whole) < 0.15
        assert not [m for m in loaded.modules() if type(m) in (torch.nn.Linear, Conv1D)]


def test_the_base_models_prefix_does_not_matter(objects, tmp_path):
    _, _, folder, _ = quantised(objects, "GPT2", "Model")
    tensors = load_file(folder / "model.safetensors")
    assert not any(name.startswith("transformer.") for name in tensors)
    for name in ("config.json", ALTERNATIVE):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    whole = random_model("GPT2", CLASSIFIER)
    tensors["score.weight"] = whole.score.weight.detach().numpy()
    save_file(tensors, tmp_path / "model.safetensors")
    loaded = opened(tmp_path, whole)
    assert (len(layers(loaded)), type(loaded.score)) == (8, torch.nn.Linear)


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Bart"])
def test_a_text_is_answered_alike_whatever_is_answered_beside_it(objects, architecture):
    loaded = quantised(objects, architecture)[3]
    layer = next(iter(layers(loaded).values()))
    x = torch.randn(5, 7, layer.in_features) * torch.rand(5, 7, 1) * 9
    weight, offset = layer.weight().dequantize(), layer.offset
    scales = x.abs().amax(-1, keepdim=True) / 63
    expected = (x / scales).round() * scales @ weight.T + (0 if offset is None else offset)
    torch.testing.assert_close(layer(x), expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(layer(x)[2:3, :4], layer(x[2:3, :4]))
    assert not layer(x * 0).sub(0 if offset is None else offset).any()
    given = inputs(loaded)
    alone = {name: ids[:1] for name, ids in given.items()}
    with torch.no_grad():
        together = loaded(**given).logits[:1]
        torch.testing.assert_close(together, loaded(**alone).logits, rtol=1e-4, atol=1e-4)


def test_a_second_quantising_and_another_device_are_refused(objects):
    _, record, folder, _ = quantised(objects, "Bert", CLASSIFIER)
    with pytest.raises(RequestError, match="holds an alternative already"):
        quantise_checkpoint(objects, checkpoint=record["checkpoint"]["object"], weights_sha256="")
    with pytest.raises(RequestError, match=r"^[^\n]*int8, which runs on the CPU[^\n]*'cuda:0'"):
        load_model(folder, "classification", "cuda:0")
