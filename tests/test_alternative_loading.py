"""Folders of alternatives: what is damaged, missing or not known is refused in one line."""

import json
import shutil
from pathlib import Path

import architectures
import calibrations
import mini
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from analysis.alternatives.kinds import int8
from analysis.checkpoints import naming
from analysis.checkpoints.weights import FILE, read_weights
from analysis.errors import RequestError
from analysis.models.alternative import ALTERNATIVE, read_alternative, write_alternative
from analysis.models.filling import fill
from analysis.models.loading import load_model, open_model
from analysis.pruning.structured import KEPT, Moments, projections, remove_units, write_kept

QUERY = "bert.encoder.layer.0.attention.self.query.weight"
WORDS = "bert.embeddings.word_embeddings.weight"
AUTO = transformers.AutoModelForSequenceClassification


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A classifier's folder, its tokenizer beside it."""
    folder = tmp_path_factory.mktemp("float")
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(architectures.model("Bert").config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    mini.tokenizer("Bert").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """The classifier quantised."""
    return quantise_in(shutil.copytree(original, tmp_path / "int8"))


def quantise_in(folder):
    weights = read_weights(folder)
    shapes = {name: array.shape for name, array in weights.items()}
    names = int8.quantisable(naming.weights(weights), shapes)
    tensors, facts = int8.quantise(weights, names, ())
    save_file(tensors, folder / FILE)
    write_alternative(folder, "int8", facts)
    return folder


def refused(folder, *words, auto=AUTO):
    """Checks that opening the folder is refused in one line, which names it and has these words."""
    with pytest.raises(RequestError) as caught:
        open_model(folder, auto)
    message = str(caught.value)
    assert ("\n" in message, len(message) < 500) == (False, True), message
    assert [word for word in (str(folder), *words) if word not in message] == [], message


@torch.no_grad()
def logits(model):
    ids = torch.tensor([[2, 5, 7, 9, 3], [2, 8, 8, 4, 3]])
    return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def test_an_alternative_is_opened_with_its_tokenizer_and_a_plain_folder_as_ever(folder, original):
    expected = logits(AUTO.from_pretrained(original).eval())
    assert torch.equal(logits(load_model(original, "classification", "cpu")[0]), expected)
    loaded, tokenizer = load_model(folder, "classification", "cpu")
    assert (len(tokenizer), loaded.training) == (60, False)
    assert 0 < (logits(loaded) - expected).norm() < 0.1 * expected.norm()
    axes, head = read_alternative(folder)["output_axis"], "cls.seq_relationship.weight"
    tensors = load_file(folder / FILE) | {f"{head}_scale": np.ones(2, np.float32)}
    save_file(tensors | {head: np.ones((2, 16), np.int8)}, folder / FILE)
    write_alternative(folder, "int8", {"output_axis": axes | {head: 0}})
    assert torch.equal(logits(open_model(folder, AUTO)), logits(loaded))  # of another form
    assert read_alternative(original) is None
    write_alternative(folder, "moe", {"experts": 3, "of": {"a": [1, 2]}})
    assert read_alternative(folder) == {"kind": "moe", "experts": 3, "of": {"a": [1, 2]}}


def test_a_smaller_model_is_an_alternative_too(original, tmp_path):
    """Units removed and the rest quantised: both files say what no config can."""
    folder, weights = shutil.copytree(original, tmp_path / "smaller"), read_weights(original)
    sizes = {n: weights[n].shape[1] for n in projections(naming.weights(weights))}
    moments = {n: Moments(np.zeros(s), np.ones(s)) for n, s in sizes.items()}
    config = json.loads((original / "config.json").read_text())
    smaller = remove_units(weights, config, moments, 0.4)
    save_file(smaller.weights, folder / FILE)
    write_kept(folder, smaller.kept)
    expected, got = logits(open_model(folder, AUTO)), logits(open_model(quantise_in(folder), AUTO))
    assert (got - expected).norm() < 0.1 * expected.norm()
    save_file(read_weights(folder) | {"classifier.bias": np.zeros(3, np.float32)}, folder / FILE)
    refused(folder, f"by config.json and {ALTERNATIVE} and {KEPT}")


def test_a_file_that_says_no_kind_that_is_known_is_refused(folder):
    path = folder / ALTERNATIVE
    for text in ("", "{", "[]", "null", "7", "{}", '{"kind": 8}', '{"kind": null}', "[" * 100_000,
                 '{"kind": ["int8"]}', "\x00", '"int8"', "\udcff\udcfe{}"):  # fmt: skip
        path.write_bytes(text.encode(errors="surrogateescape"))
        refused(folder, "make that model again")
    with pytest.raises(RequestError, match="make that model again"):
        load_model(folder, "classification", "cpu")
    for kind in ("int4", "", "INT8", "os", "__init__", "student"):
        write_alternative(folder, kind, {})
        refused(folder, "Allowed: int8, moe.")
    path.unlink()
    path.mkdir()
    refused(folder)


def test_facts_that_do_not_fit_the_tensors_or_the_model_are_refused(folder):
    axes = read_alternative(folder)["output_axis"]
    no_axes = (None, [], "x", *({QUERY: axis} for axis in (2, -1, True, None, [0], 0.0)))
    for given, said in (
        *[(given, "`output_axis`") for given in no_axes],
        ({n: a for n, a in axes.items() if n != QUERY}, f"{QUERY} is int8, and the facts do not"),
        *[(axes | {name: 0}, f"{name} is int8 by the facts") for name in ("no.such.weight", WORDS)],
        # a square matrix fits along either axis: only the model knows
        (axes | {QUERY: 1}, f"{QUERY} has its outputs along axis 1"),
    ):
        write_alternative(folder, "int8", {"output_axis": given})
        refused(folder, said)
    write_alternative(folder, "int8", {})
    refused(folder, "`output_axis`")


def test_tensors_that_do_not_fit_the_facts_or_the_model_are_refused(folder):
    tensors, axes = load_file(folder / FILE), read_alternative(folder)["output_axis"]
    ones, codes, scale = np.ones(16, np.float32), np.ones((16, 16), np.int8), f"{QUERY}_scale"
    for replaced, said in (  # in place of, or beside, its own; None takes one away
        *[({scale: wrong}, scale) for wrong in (None, ones[1:], ones[:, None], ones.astype(float))],
        *[({scale: ones * factor}, scale) for factor in (0, -1, np.nan, np.inf)],
        *[({QUERY: wrong}, QUERY) for wrong in (None, ones * ones[:, None], codes[0])],
        ({QUERY: np.ones((), np.int8)}, QUERY),
        ({QUERY: codes[:, :8].copy()}, f"by config.json and {ALTERNATIVE}"),
        ({"classifier.bias": None}, "lacks classifier.bias"),
        ({"odd.weight": ones}, "has odd.weight"),
    ):  # fmt: skip
        kept = {name: a for name, a in (tensors | replaced).items() if a is not None}
        save_file(kept, folder / FILE)
        refused(folder, said)
    # and the facts changed with the tensors
    coded, facts = int8.quantise(tensors, [WORDS], ())
    save_file(coded, folder / FILE)
    write_alternative(folder, "int8", {"output_axis": axes | facts["output_axis"]})
    refused(folder, f"{WORDS} is int8, and no linear layer")
    del tensors[QUERY], axes[QUERY]
    save_file(tensors, folder / FILE)
    write_alternative(folder, "int8", {"output_axis": axes})
    refused(folder, f"lacks {QUERY}")


def test_a_head_with_values_of_its_own_takes_none_of_those_that_it_was_tied_to():
    """Its name comes first in the file; the embeddings of both stacks are the shared ones."""
    model = calibrations.model("Bart")
    weights = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    shared = weights["model.shared.weight"]
    fill(model, {"lm_head.weight": shared + 1, **weights}, Path("here"), "config.json")
    for tied in (model.model.shared, model.model.encoder.embed_tokens):
        np.testing.assert_array_equal(tied.weight.detach().numpy(), shared)
    np.testing.assert_array_equal(model.lm_head.weight.detach().numpy(), shared + 1)
