"""Replicas: published shapes and counts, weights drawn as architectures draw them, tokenizers."""

import hashlib
import json

import families
import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig

from analysis.errors import RequestError, RunError
from analysis.models import random_weights, replicas
from analysis.models.checkpoint import open_checkpoint
from analysis.models.random_weights import stored, write_random
from analysis.models.replicas import forms, parameters, parameters_of, shape, shapes, write_replica
from analysis.models.weights import read_weights

PUBLISHED = {  # of the class that the number is known of
    "google-bert/bert-base-uncased": ("BertModel", 109_482_240),
    "google-bert/bert-large-uncased": ("BertModel", 335_141_888),
    "FacebookAI/roberta-base": ("RobertaModel", 124_645_632),
    "microsoft/deberta-v2-xxlarge": ("DebertaV2Model", 1_564_549_632),
    "openai-community/gpt2": ("GPT2LMHeadModel", 124_439_808),
    "openai-community/gpt2-medium": ("GPT2LMHeadModel", 354_823_168),
    "openai-community/gpt2-xl": ("GPT2LMHeadModel", 1_557_611_200),
    "facebook/bart-base": ("BartModel", 139_420_416),
    "facebook/bart-large": ("BartModel", 406_291_456),
    "facebook/bart-large-cnn": ("BartForConditionalGeneration", 406_290_432),
    "google/pegasus-cnn_dailymail": ("PegasusForConditionalGeneration", 570_797_056),
    "google/t5-v1_1-xl": ("T5ForConditionalGeneration", 2_849_757_184),
    "facebook/m2m100_1.2B": ("M2M100ForConditionalGeneration", 1_239_470_080),
}
NOT_PUBLISHED = ["IDEA-CCNL/Erlangshen-MegatronBert-1.3B", "google/pegasus-xsum"]
every_model = pytest.mark.parametrize("model", families.MODELS)
pytestmark = pytest.mark.usefixtures("one_thread")


def config_of(model):
    return json.loads((families.folder(model) / "config.json").read_text())


def files_of(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.fixture
def tiny(tmp_path):
    """Writes a tiny replica of GPT-2 to a folder of that name."""

    def write(name, model="openai-community/gpt2", seed=0):
        write_replica(model, tmp_path / name, form=forms(model)[-1], seed=seed, tiny=True)
        return tmp_path / name

    return write


def test_the_models_of_the_studies_are_known():
    assert shapes() == sorted([*PUBLISHED, *NOT_PUBLISHED])
    assert {shape(model)["family"] for model in shapes()} == {
        "encoder-only",
        "decoder-only",
        "encoder-decoder",
    }


@pytest.mark.parametrize("model", shapes())
def test_a_shape_has_as_many_parameters_as_published(model):
    known = shape(model)
    counted = known["counted"]
    assert (counted["class"], counted["parameters"]) == PUBLISHED.get(
        model, (counted["class"], counted["parameters"])
    )
    assert (
        parameters_of(known["config"] | {"architectures": [counted["class"]]})
        == (counted["parameters"])
    )


def test_a_form_counts_the_head_that_it_needs():
    assert parameters("openai-community/gpt2", "causal") == 124_439_808
    assert parameters("openai-community/gpt2", "classification") == 124_439_808 + 2 * 768
    assert parameters("google-bert/bert-base-uncased", "classification") == (
        109_482_240 + 2 * 768 + 2
    )
    # two labels, though BART's published config has three
    assert parameters("facebook/bart-base", "classification") == (
        139_420_416 + 768 * 768 + 768 + 2 * 768 + 2
    )


def test_a_config_that_names_no_architecture_counts_bare():
    config = dict(shape("openai-community/gpt2")["config"])
    del config["architectures"]
    assert parameters_of(config) == 124_439_808


def test_a_shape_that_is_not_known_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(RequestError, match="Did you mean 'openai-community/gpt2-xl'") as caught:
        shape("openai/gpt2-xl")
    assert "\n" not in str(caught.value)
    with pytest.raises(RequestError, match="unknown published shape"):
        parameters("../shapes", "causal")
    with pytest.raises(RequestError, match="unknown published shape"):
        write_replica("", tmp_path / "out", form="causal", seed=0, tiny=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "form", "allowed"),
    [
        ("google/pegasus-xsum", "classification", "text-to-text"),
        ("facebook/m2m100_1.2B", "classification", "text-to-text"),
        ("openai-community/gpt2", "masked", "classification, causal, cloze"),
        ("google-bert/bert-base-uncased", "causal", "classification, masked"),
        ("facebook/bart-base", "no form", "classification, text-to-text"),
    ],
)
def test_a_form_that_the_model_has_no_head_for_is_refused(tmp_path, model, form, allowed):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(RequestError, match=f"form '{form}'; allowed: {allowed}$"):
        write_replica(model, out, form=form, seed=0, tiny=True)
    with pytest.raises(RequestError, match=f"allowed: {allowed}$"):
        parameters(model, form)
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_a_place_that_cannot_be_written_is_named(read_only_folder):
    with pytest.raises(RunError, match=r"cannot write .*replica: Permission denied"):
        write_replica(
            "openai-community/gpt2", read_only_folder / "replica", form="causal", seed=0, tiny=True
        )


def test_what_is_there_is_replaced_whole(tiny):
    folder = tiny("out", "openai-community/gpt2-xl")
    (folder / "surplus").touch()
    assert files_of(tiny("out")) == files_of(tiny("other"))


@every_model
def test_the_same_seed_makes_the_same_files_and_another_other_weights(tiny, model):
    torch.manual_seed(5)
    one = files_of(tiny("one", model))
    after = torch.rand(3)
    torch.manual_seed(6)
    two = files_of(tiny("two", model))
    other = files_of(tiny("other", model, seed=1))
    assert one == two
    assert {name for name in one if one[name] != other[name]} == {"model.safetensors"}
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))  # the caller's numbers are as if nothing was drawn


@every_model
def test_weights_are_drawn_as_the_architecture_draws_them(model):
    """Held against the class's own initialisation: what is constant equally, the rest in size."""
    drawn = load_file(families.folder(model) / "model.safetensors")
    config = AutoConfig.from_pretrained(families.folder(model))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        reference = getattr(transformers, shape(model)["stored"])(config).state_dict()
    random = 0
    for name, tensor in drawn.items():
        expected = reference[name]
        assert (tensor.dtype, tensor.shape) == (torch.float32, expected.shape)
        if expected.unique().numel() == 1:
            assert torch.equal(tensor, expected)
        elif tensor.numel() >= 1024:
            random += 1
            assert float(tensor.std()) == pytest.approx(float(expected.std()), rel=0.15)
            assert abs(float(tensor.mean())) < 0.15 * float(tensor.std())
    assert random >= 8
    assert len({tensor.double().sum().item() for tensor in drawn.values() if tensor.ndim > 1}) == (
        sum(tensor.ndim > 1 for tensor in drawn.values())
    )  # no two alike


@pytest.mark.parametrize(
    ("model", "wanted"), [("openai-community/gpt2-xl", 0.02), ("google/t5-v1_1-xl", 1.0)]
)
def test_true_shapes_draw_the_published_deviation(model, wanted):
    """Scaled down with depth where the architecture does so, and block by block."""
    config = shape(model)["config"]
    small = config | dict.fromkeys(("n_layer", "num_layers", "num_decoder_layers"), 2)
    small = {key: value for key, value in small.items() if key in config} | {"vocab_size": 50}
    empty = replicas._empty(small, shape(model)["stored"])
    with torch.no_grad():
        drawn = random_weights._drawn(empty, set(stored(empty)))
        deviations = {name: float(tensor.std()) for name, tensor in drawn}
    assert all(parameter.is_meta for parameter in empty.parameters())
    embedding = next(name for name in deviations if name in ("wte.weight", "shared.weight"))
    assert deviations[embedding] == pytest.approx(wanted, rel=0.05)
    if model.endswith("gpt2-xl"):
        assert deviations["h.1.mlp.c_proj.weight"] == pytest.approx(wanted / 2, rel=0.05)
        assert deviations["h.1.mlp.c_fc.weight"] == pytest.approx(wanted, rel=0.05)
    else:
        query = "decoder.block.1.layer.1.EncDecAttention.q.weight"
        assert deviations[query] == pytest.approx((2048 * 64) ** -0.5, rel=0.05)


@every_model
def test_a_checkpoint_in_shards_holds_the_same_weights(tmp_path, model):
    empty = replicas._empty(config_of(model), shape(model)["stored"])
    write_random(empty, tmp_path, seed=0, shard_bytes=100_000)
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) >= 2
    assert shards[0].name == f"model-00001-of-{len(shards):05}.safetensors"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == open_checkpoint(tmp_path).bytes
    largest = max(4 * p.numel() for p in stored(empty).values())
    for path in shards:
        assert path.stat().st_size < max(100_000, largest) + 20_000
    whole, parts = read_weights(families.folder(model)), read_weights(tmp_path)
    assert whole.keys() == parts.keys()
    assert all((whole[name] == parts[name]).all() for name in whole)
