"""Checkpoints are read as they lie, digested by content, and refused in one line."""

import hashlib
import json
import shutil
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
)

from analysis.errors import RequestError, RunError
from analysis.models.weights import (
    FILE,
    read_weights,
    require_finite,
    weights_in,
    weights_sha256,
)
from analysis.objects import Objects
from analysis.steps.checkpoints import checkpoint_record
from analysis.steps.profiles import profile_weights

BERT = BertConfig(
    vocab_size=60,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=20,
)
GPT2 = GPT2Config(vocab_size=60, n_embd=8, n_layer=2, n_head=2, n_positions=20, pad_token_id=0)
BART = BartConfig(
    vocab_size=60,
    d_model=8,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=16,
    decoder_ffn_dim=16,
    max_position_embeddings=20,
)
MODELS = {
    BertForSequenceClassification: (BERT, "encoder-only"),
    GPT2LMHeadModel: (GPT2, "decoder-only"),
    GPT2ForSequenceClassification: (GPT2, "decoder-only"),
    BartForConditionalGeneration: (BART, "encoder-decoder"),
    BartForSequenceClassification: (BART, "encoder-decoder"),
}


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: model.__name__)
def saved(request, tmp_path_factory):
    """A model, its family, and the folder that it was saved to."""
    config, family = MODELS[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = request.param(config)
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    return model, family, folder


def numbers(seed=0):
    generator = np.random.default_rng(seed)
    shapes = {"b.weight": (4, 3), "a.weight": (5,), "c": (2, 2, 2)}
    return {n: generator.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


# ---------------------------------------------------------------- real models


def test_every_parameter_is_read_bit_for_bit(saved):
    model, _, folder = saved
    read = read_weights(folder)
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(
            read[name].view(np.uint32), parameter.detach().numpy().view(np.uint32)
        )


def test_tied_weights_are_read_once(saved):
    """GPT-2's output embedding and BART's three are one matrix."""
    model, _, folder = saved
    vocabulary = [n for n, w in read_weights(folder).items() if w.shape[:1] == (60,) and w.ndim > 1]
    assert len(vocabulary) == 1
    assert len({p.data_ptr() for p in model.parameters()}) == len(list(model.parameters()))


def test_parameters_are_those_of_the_model_buffers_and_ties_not_among_them(saved, tmp_path):
    model, _, folder = saved
    copy = tmp_path / "copy"
    model.save_pretrained(copy)
    record = checkpoint_record(Objects(tmp_path / "objects"), copy, 0.0, {})
    assert record["parameters"] == sum(p.numel() for p in model.parameters())
    assert record["weights_sha256"] == weights_sha256(read_weights(folder))


def test_the_profiles_leaves_add_up_to_the_models_parameters(saved, tmp_path):
    model, family, folder = saved
    objects = Objects(tmp_path / "objects")
    digest = objects.adopt(shutil.copytree(folder, tmp_path / "copy"))
    record = profile_weights(objects, weights_sha256="", checkpoint=digest)
    parameters = sum(p.numel() for p in model.parameters())
    assert sum(row["parameters"] for row in record["leaves"]) == parameters
    assert record["scopes"]["model"]["statistics"]["parameters"] == parameters
    assert record["family"] == family


def test_names_come_sorted(saved):
    names = list(read_weights(saved[2]))
    assert names == sorted(names)


# ---------------------------------------------------------------- the digest


def test_the_digest_does_not_depend_on_order_or_memory_layout():
    plain = numbers()
    digest = weights_sha256(plain)
    assert weights_sha256(dict(reversed(plain.items()))) == digest
    assert weights_sha256({n: np.asfortranarray(w) for n, w in plain.items()}) == digest
    wide = {n: np.repeat(w, 2, axis=0)[::2] for n, w in plain.items()}
    assert weights_sha256(wide) == digest


def test_the_digest_does_not_depend_on_the_order_within_the_file(tmp_path):
    """The same tensors, once in the order of the alphabet and once backwards in the file."""
    plain = numbers()
    digests = set()
    for names in (sorted(plain), sorted(plain, reverse=True)):
        header, body = {}, b""
        for name in names:
            content = plain[name].tobytes()
            header[name] = {
                "dtype": "F32",
                "shape": list(plain[name].shape),
                "data_offsets": [len(body), len(body) + len(content)],
            }
            body += content
        text = json.dumps(header).encode()
        (tmp_path / FILE).write_bytes(struct.pack("<Q", len(text)) + text + body)
        digests.add(weights_sha256(read_weights(tmp_path)))
    assert digests == {weights_sha256(plain)}


@given(position=st.integers(0, 11), bit=st.integers(0, 31))
def test_every_bit_counts(position, bit):
    plain, flipped = numbers(), numbers()
    flipped["b.weight"].view(np.uint32).reshape(-1)[position] ^= np.uint32(1 << bit)
    assert weights_sha256(flipped) != weights_sha256(plain)


def changed_in_name(weights):
    return {("d" if n == "c" else n): w for n, w in weights.items()}


@pytest.mark.parametrize(
    "change",
    [
        changed_in_name,
        lambda w: w | {"b.weight": w["b.weight"].reshape(3, 4)},
        lambda w: w | {"b.weight": w["b.weight"].reshape(-1)},
        lambda w: w | {"a.weight": w["a.weight"].view(np.int32)},
        lambda w: w | {"a.weight": w["a.weight"].astype(np.float64)},
        lambda w: w | {"d": np.zeros(0, np.float32)},
        lambda w: {n: x for n, x in w.items() if n != "c"},
        lambda w: w | {"b.weight": w["b.weight"][::-1]},
        lambda w: w | {"a.weight": w["c"].reshape(-1), "c": w["a.weight"]},
    ],
)
def test_name_shape_type_and_order_of_values_count(change):
    assert weights_sha256(change(numbers())) != weights_sha256(numbers())


def test_a_name_cannot_spell_several_tensors():
    """A name may hold any text, so also what the digest puts between two tensors."""
    one, two = np.ones(1, np.float32), np.zeros(2, np.float32)
    content = hashlib.sha256(one.tobytes()).hexdigest()
    spelt = f"a\0float32\0(1,)\0{content}\nb"
    assert weights_sha256({spelt: two}) != weights_sha256({"a": one, "b": two})


def test_minus_zero_and_zero_differ():
    zero, minus = np.zeros(1, np.float32), -np.zeros(1, np.float32)
    assert weights_sha256({"a": zero}) != weights_sha256({"a": minus})


# ---------------------------------------------------------------- reading


@settings(max_examples=30)
@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.float16, np.float64, np.int64, np.uint8]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_what_safetensors_wrote_is_read_as_it_was(tmp_path_factory, array):
    folder = tmp_path_factory.getbasetemp()
    save_file({"x": array}, folder / FILE)
    read = read_weights(folder)["x"]
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()


def refused(folder):
    with pytest.raises(RequestError) as caught:
        read_weights(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(folder) in message
    return message


def test_tensors_are_read_when_they_are_asked_for_and_not_kept(tmp_path):
    weights = {f"w{i}": np.full((3, i), i, np.float32) for i in range(4)}
    save_file(weights, tmp_path / FILE)
    with weights_in(tmp_path) as there:
        assert list(there) == sorted(weights)
        assert len(there) == 4
        assert "w1" in there
        assert "w9" not in there
        first = there["w3"]
        first[:] = 0  # the reader's own, not the file's
        np.testing.assert_array_equal(there["w3"], weights["w3"])
        with pytest.raises(KeyError):
            there["w9"]
    with weights_in(tmp_path) as there:
        (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-4])
        np.testing.assert_array_equal(there["w1"], weights["w1"])
        with pytest.raises(RunError, match="ends within w3"):
            there["w3"]


def test_a_folder_without_weights_is_refused(tmp_path):
    assert FILE in refused(tmp_path)
    assert "is no folder" in refused(tmp_path / "no" / "such")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / FILE).mkdir()
    refused(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 40, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    save_file(numbers(), tmp_path / FILE)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:length])
    assert "cannot be read" in refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"not a safetensors file at all",
        b"\x80\x04\x95pickle of a stranger",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
        struct.pack("<Q", 52) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}',
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    assert "cannot be read" in refused(tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_floats_that_numpy_lacks_are_widened(tmp_path, dtype):
    from safetensors.torch import save_file as save_torch

    written = {"a": torch.randn(3, 4).to(dtype), "b": torch.ones(2, dtype=torch.float16)}
    save_torch(written, tmp_path / FILE)
    read = read_weights(tmp_path)
    assert {name: array.dtype for name, array in read.items()} == {"a": "float32", "b": "float16"}
    np.testing.assert_array_equal(read["a"], written["a"].float().numpy())


def test_an_unreadable_file_is_refused(public_folder, unprivileged):
    save_file(numbers(), public_folder / FILE)
    (public_folder / FILE).chmod(0)
    with unprivileged():
        refused(public_folder)


# ---------------------------------------------------------------- finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_and_counted(bad):
    weights = numbers()
    weights["b.weight"][1, :2] = bad
    with pytest.raises(RunError) as caught:
        require_finite(weights, weights)
    assert "b.weight: 2 of 12 weights" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_named_tensors_have_to_be_finite():
    weights = numbers()
    weights["c"][:] = np.nan
    require_finite(weights, ["a.weight", "b.weight"])


def test_extreme_but_finite_weights_pass():
    extreme = np.array([0, -0.0, 1e-45, 3.4e38, -3.4e38], np.float32)
    require_finite({"a": extreme, "empty": np.zeros(0, np.float32)}, ["a", "empty"])
