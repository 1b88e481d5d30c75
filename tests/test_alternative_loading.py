"""Folders of alternatives: what is damaged, missing or not known is refused in one line."""

import json
import shutil

import architectures
import mini
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from analysis.alternatives import ALTERNATIVE, int8, read_alternative, write_alternative
from analysis.errors import RequestError
from analysis.models import naming
from analysis.models.loading import load_model, open_model
from analysis.models.weights import read_weights
from analysis.pruning.structured import KEPT, Moments, projections, remove_units, write_kept

WEIGHTS = "model.safetensors"
QUERY = "bert.encoder.layer.0.attention.self.query.weight"
AUTO = transformers.AutoModelForSequenceClassification


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A classifier's folder, its tokenizer beside it."""
    folder = tmp_path_factory.mktemp("float")
    config = architectures.model("Bert").config
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    mini.tokenizer("Bert").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """The classifier quantised."""
    copied = tmp_path / "int8"
    shutil.copytree(original, copied)
    quantise_in(copied)
    return copied


def quantise_in(folder):
    weights = read_weights(folder)
    tensors, facts = int8.quantise(weights, int8.quantisable(weights))
    save_file(tensors, folder / WEIGHTS)
    write_alternative(folder, "int8", facts)


def refused(folder, auto=AUTO):
    """The one line that opening the folder is refused with, which names it."""
    with pytest.raises(RequestError) as caught:
        open_model(folder, auto)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert str(folder) in message
    return message


@torch.no_grad()
def logits(model):
    ids = torch.tensor([[2, 5, 7, 9, 3], [2, 8, 8, 4, 3]])
    return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


# -- what is opened -------------------------------------------------------------------------------


def test_facts_come_back_as_they_were_written(tmp_path):
    assert read_alternative(tmp_path) is None
    write_alternative(tmp_path, "moe", {"experts": 3, "of": {"a": [1, 2]}})
    assert read_alternative(tmp_path) == {"kind": "moe", "experts": 3, "of": {"a": [1, 2]}}


def test_a_folder_without_the_file_is_opened_as_ever(original):
    loaded, _ = load_model(original, "classification", "cpu")
    expected = AUTO.from_pretrained(original).eval()
    assert torch.equal(logits(loaded), logits(expected))


def test_an_alternative_is_opened_with_its_tokenizer(folder, original):
    loaded, tokenizer = load_model(folder, "classification", "cpu")
    assert len(tokenizer) == 60
    assert not loaded.training
    expected = logits(AUTO.from_pretrained(original).eval())
    assert (logits(loaded) - expected).norm() < 0.1 * expected.norm()


def test_a_smaller_model_is_an_alternative_too(original, tmp_path):
    """Units removed and the rest quantised: both files say what no config can."""
    folder = tmp_path / "smaller"
    shutil.copytree(original, folder)
    weights = read_weights(original)
    sizes = {n: weights[n].shape[1] for n in projections(naming.weights(weights))}
    moments = {n: Moments(np.zeros(s), np.ones(s)) for n, s in sizes.items()}
    config = json.loads((original / "config.json").read_text())
    smaller = remove_units(weights, config, moments, 0.4)
    save_file(smaller.weights, folder / WEIGHTS)
    write_kept(folder, smaller.kept)
    expected = logits(open_model(folder, AUTO))
    quantise_in(folder)
    got = logits(open_model(folder, AUTO))
    assert (got - expected).norm() < 0.1 * expected.norm()
    tensors = load_file(folder / WEIGHTS)
    tensors["classifier.bias"] = np.zeros(3, np.float32)
    save_file(tensors, folder / WEIGHTS)
    assert f"by config.json and {ALTERNATIVE} and {KEPT}" in refused(folder)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", "{}", '{"kind": 8}', '{"kind": null}', '{"kind": ["int8"]}',
     "[" * 100_000, "\x00", '"int8"'],
)  # fmt: skip
def test_a_file_that_says_no_kind_is_refused(folder, text):
    (folder / ALTERNATIVE).write_text(text)
    assert "make that model again" in refused(folder)
    with pytest.raises(RequestError):
        load_model(folder, "classification", "cpu")


def test_bytes_that_are_no_text_are_refused(folder):
    (folder / ALTERNATIVE).write_bytes(b"\xff\xfe{}")
    refused(folder)


def test_a_folder_in_its_place_is_refused(folder):
    (folder / ALTERNATIVE).unlink()
    (folder / ALTERNATIVE).mkdir()
    refused(folder)


@pytest.mark.parametrize("kind", ["int4", "", "INT8", "os", "__init__", "student"])
def test_an_unknown_kind_names_those_there_are(folder, kind):
    write_alternative(folder, kind, {})
    assert "Allowed: int8, moe." in refused(folder)


@pytest.mark.parametrize(
    "axes", [None, [], "x", {QUERY: 2}, {QUERY: True}, {QUERY: None}, {QUERY: [0]}, {QUERY: 0.0}]
)
def test_axes_that_are_none_are_refused(folder, axes):
    write_alternative(folder, "int8", {"output_axis": axes})
    assert "`output_axis`" in refused(folder)


def test_facts_without_axes_are_refused(folder):
    write_alternative(folder, "int8", {})
    assert "`output_axis`" in refused(folder)


def test_codes_that_the_facts_do_not_name_are_not_taken_for_weights(folder):
    axes = read_alternative(folder)["output_axis"]
    del axes[QUERY]
    write_alternative(folder, "int8", {"output_axis": axes})
    assert f"{QUERY} is int8, and the facts do not name it" in refused(folder)


@pytest.mark.parametrize("name", ["no.such.weight", "bert.embeddings.word_embeddings.weight"])
def test_facts_that_name_what_is_not_int8_are_refused(folder, name):
    axes = read_alternative(folder)["output_axis"]
    write_alternative(folder, "int8", {"output_axis": axes | {name: 0}})
    assert f"{name} is int8 by the facts" in refused(folder)


def test_a_wrong_axis_is_refused(folder):
    """A square matrix fits along either axis: only the model knows."""
    axes = read_alternative(folder)["output_axis"]
    write_alternative(folder, "int8", {"output_axis": axes | {QUERY: 1}})
    assert f"{QUERY} has its outputs along axis 1" in refused(folder)


def changed(folder, **replaced):
    """The folder with these tensors in place of, or beside, its own; None takes one away."""
    tensors = load_file(folder / WEIGHTS) | replaced
    kept = {name: array for name, array in tensors.items() if array is not None}
    save_file(kept, folder / WEIGHTS)
    return refused(folder)


@pytest.mark.parametrize(
    "scales",
    [None, np.ones(15, np.float32), np.ones((16, 1), np.float32), np.ones(16, np.float64),
     np.full(16, np.nan, np.float32), np.zeros(16, np.float32), np.full(16, -1, np.float32),
     np.full(16, np.inf, np.float32)],
)  # fmt: skip
def test_scales_that_are_none_are_refused(folder, scales):
    assert f"{QUERY}_scale" in changed(folder, **{f"{QUERY}_scale": scales})


@pytest.mark.parametrize(
    "codes", [None, np.ones((16, 16), np.float32), np.ones(16, np.int8), np.ones((), np.int8)]
)
def test_codes_that_are_none_are_refused(folder, codes):
    assert QUERY in changed(folder, **{QUERY: codes})


def test_codes_that_do_not_fit_the_model_are_refused(folder):
    ones = {QUERY: np.ones((16, 8), np.int8)}
    assert f"by config.json and {ALTERNATIVE}" in changed(folder, **ones)


@pytest.mark.parametrize("name", [QUERY, "classifier.bias"])
def test_a_tensor_that_is_missing_is_named(folder, name):
    axes = read_alternative(folder)["output_axis"]
    axes.pop(name, None)
    write_alternative(folder, "int8", {"output_axis": axes})
    assert f"lacks {name}" in changed(folder, **{name: None})


def test_a_surplus_tensor_is_named(folder):
    assert "has odd.weight" in changed(folder, **{"odd.weight": np.ones((2, 2), np.float32)})


def test_int8_for_what_is_no_linear_layer_is_refused(folder):
    weights = read_weights(folder)
    names = ["bert.embeddings.word_embeddings.weight"]
    tensors, facts = int8.quantise(weights, names)
    save_file(tensors, folder / WEIGHTS)
    facts["output_axis"] |= read_alternative(folder)["output_axis"]
    write_alternative(folder, "int8", facts)
    assert f"{names[0]} is int8, and no linear layer" in refused(folder)


@pytest.mark.parametrize("content", ["{", '{"model_type": "no such"}', "[]"])
def test_a_damaged_config_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    assert "config.json" in refused(folder)


def test_weights_that_are_missing_or_cut_are_refused(folder):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    refused(folder)
    path.unlink()
    assert "holds no weights" in refused(folder)


def test_a_head_of_another_form_is_refused(folder):
    assert "lacks" in refused(folder, transformers.AutoModelForMaskedLM)
