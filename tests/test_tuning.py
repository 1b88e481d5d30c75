"""Fine-tuning of any checkpoint: every form, fresh heads, repeats, and what it refuses."""

import copy
import json
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    T5Config,
)

from analysis import language
from analysis.errors import RequestError, RunError
from analysis.models import memory, tuning
from analysis.models.scratch import pretrain_scratch
from analysis.models.training import train
from analysis.models.weights import read_weights, weights_sha256
from analysis.objects import Objects
from analysis.steps.tuned import fine_tune_checkpoint

SHAPE = {
    "layers": 1,
    "width": 32,
    "heads": 2,
    "vocabulary": 500,
    "positions": 48,
    "dropout": 0.1,
}
HOW = {"learning_rate": 5e-3, "batch_size": 16, "epochs": 3, "threads": 1, "device": "cpu"}
CLASSES = {
    "classification": AutoModelForSequenceClassification,
    "causal": AutoModelForCausalLM,
    "text-to-text": AutoModelForSeq2SeqLM,
}
SENTENCES = language.sentiment(96, 0, split="train")
EXAMPLES = {
    "classification": [{"first": e["sentence"], "label": e["label"]} for e in SENTENCES],
    "pairs": [
        {"first": e["sentence1"], "second": e["sentence2"], "label": e["label"]}
        for e in language.paraphrase(96, 0, split="train")
    ],
    "causal": [{"text": text} for text in language.paragraphs(96, 0)],
    "text-to-text": [
        {"source": e["document"], "target": e["summary"]}
        for e in language.headline(96, 0, split="train")
    ],
}
POSSIBLE = [
    ("encoder-only", "classification"),
    ("encoder-only", "pairs"),
    ("decoder-only", "classification"),
    ("decoder-only", "pairs"),
    ("decoder-only", "causal"),
    ("encoder-decoder", "classification"),
    ("encoder-decoder", "pairs"),
    ("encoder-decoder", "text-to-text"),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    brief = {"epochs": 0.2, "learning_rate": 1e-3, "batch_size": 16}
    texts = [*language.paragraphs(60, 0), *(e["sentence"] for e in SENTENCES)]
    for family in ("encoder-only", "decoder-only", "encoder-decoder"):
        pretrain_scratch(family, SHAPE, texts, brief, seed=0, threads=1, out=folder / family)
    return folder


def tuned(folder, what, out, **changes):
    form = "classification" if what == "pairs" else what
    settings = {"labels": 2, "seed": 0, "max_tokens": 48} | HOW | changes
    return tuning.tune(folder, form, EXAMPLES[what], out=out, **settings)


@pytest.mark.parametrize(("family", "what"), POSSIBLE)
def test_every_form_is_learnt_and_the_folder_opens(bases, tmp_path, family, what):
    brief = tuned(bases / family, what, tmp_path / "brief", epochs=0.2)
    facts = tuned(bases / family, what, tmp_path / "long", epochs=6)
    assert facts["final_loss"] < brief["final_loss"]
    assert facts["steps"] == 36 or (facts["form"] == "causal" and facts["steps"] > 36)
    assert (facts["examples"], facts["device"]) == (96, "cpu")
    model = CLASSES[facts["form"]].from_pretrained(tmp_path / "long")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "long")
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    assert next(model.parameters()).dtype == torch.float32


def test_the_head_is_as_wide_as_there_are_labels_and_new_where_it_was_not(bases, tmp_path):
    for labels in (2, 5):
        before = bases / "encoder-only" if labels == 2 else tmp_path / "2"
        tuned(before, "classification", tmp_path / str(labels), labels=labels, epochs=0.1)
        assert AutoConfig.from_pretrained(tmp_path / str(labels)).num_labels == labels


def test_it_repeats_for_a_seed_whatever_was_drawn_before(bases, tmp_path):
    folder = bases / "encoder-only"
    one = tuned(folder, "classification", tmp_path / "one")
    torch.rand(7)
    before = torch.random.get_rng_state()
    two = tuned(folder, "classification", tmp_path / "two")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one["final_loss"] == two["final_loss"]
    files = [tmp_path / name / "model.safetensors" for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
    tuned(folder, "classification", tmp_path / "three", seed=1)
    assert (tmp_path / "three" / "model.safetensors").read_bytes() != files[0].read_bytes()


def test_a_long_causal_text_is_read_whole(bases, tmp_path, monkeypatch):
    text = " ".join(language.paragraphs(40, 2))
    monkeypatch.setitem(EXAMPLES, "causal", [{"text": text}])
    facts = tuned(bases / "decoder-only", "causal", tmp_path / "out", epochs=1, batch_size=1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    tokens = len(tokenizer(text)["input_ids"]) + 2
    assert facts["steps"] == math.ceil((tokens - 1) / 47)


def test_more_tokens_than_the_model_has_positions_are_not_asked_for(bases, tmp_path):
    assert tuned(bases / "encoder-only", "pairs", tmp_path, max_tokens=4_000)["max_tokens"] == 48


def test_matrices_are_multiplied_in_half_and_weights_kept_whole(bases, tmp_path):
    folder = bases / "encoder-only"
    half = tuned(folder, "classification", tmp_path / "half", dtype="bfloat16")
    whole = tuned(folder, "classification", tmp_path / "whole", dtype="float32")
    assert (half["dtype"], whole["dtype"]) == ("bfloat16", "float32")
    assert half["final_loss"] != whole["final_loss"]
    assert half["final_loss"] == pytest.approx(whole["final_loss"], rel=0.1)
    assert {str(array.dtype) for array in read_weights(tmp_path / "half").values()} == {"float32"}
    assert tuning.autocast_type("auto", "cpu") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "masked"}, "unknown form to fine-tune for 'masked'"),
        ({"examples": []}, "no training examples"),
        ({"labels": None}, "labels is how many a classification has, 2 or more; got None"),
        ({"labels": 1}, "2 or more; got 1"),
        ({"dtype": "float16"}, "in float32 or bfloat16, or auto; 'float16'"),
        (
            {"examples": [{"first": "A park.", "label": 2}]},
            "an example has the label 2, and labels go from 0 to 1",
        ),
    ],
)
def test_wrong_requests_say_what_is_allowed(bases, tmp_path, changes, message):
    settings = {"form": "classification", "examples": EXAMPLES["classification"], "labels": 2}
    settings |= {"seed": 0, "max_tokens": 48, "out": tmp_path / "out"} | HOW | changes
    form, examples = settings.pop("form"), settings.pop("examples")
    with pytest.raises(RequestError, match=message):
        tuning.tune(bases / "encoder-only", form, examples, **settings)
    assert not (tmp_path / "out").exists()


# -- memory ---------------------------------------------------------------------------------------

SIZES = st.integers(1, 64)


def test_a_parameter_takes_sixteen_bytes():
    nothing = {"batch_size": 0, "tokens": 0, "layers": 0, "width": 0, "heads": 0}
    assert memory.training_bytes(1_000, **nothing) == 16_000


@given(
    parameters=st.integers(0, 10**10),
    sizes=st.fixed_dictionaries(
        dict.fromkeys(("batch_size", "tokens", "layers", "width", "heads", "vocabulary"), SIZES)
    ),
    grown=st.sampled_from(("batch_size", "tokens", "layers", "width", "heads", "vocabulary")),
)
def test_whatever_grows_takes_more(parameters, sizes, grown):
    more = sizes | {grown: sizes[grown] + 1}
    assert memory.training_bytes(parameters, **more) > memory.training_bytes(parameters, **sizes)
    assert memory.training_bytes(parameters, **sizes, bytes_each=2) < memory.training_bytes(
        parameters, **sizes
    )


def test_both_stacks_and_the_words_predicted_count():
    how = {"batch_size": 8, "tokens": 64}
    t5 = T5Config(num_layers=6, num_decoder_layers=2)
    both = memory.training_bytes_of(t5, 10**6, form="text-to-text", **how)
    alike = {"layers": 8, "width": t5.d_model, "heads": t5.num_heads}
    assert both == memory.training_bytes(10**6, **alike, **how, vocabulary=t5.vocab_size)
    gpt2 = memory.training_bytes_of(GPT2Config(), 10**6, form="classification", **how)
    assert gpt2 == memory.training_bytes(10**6, layers=12, width=768, heads=12, **how)


def test_a_model_that_does_not_fit_is_refused_before_it_is_opened(bases, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "device_bytes", lambda device: 1_000_000)
    monkeypatch.setattr(tuning, "_opened", None)
    with pytest.raises(RunError, match=r"fine-tuning needs about .* GB and this machine has"):
        tuned(bases / "encoder-only", "classification", tmp_path / "out")
    with pytest.raises(RunError) as refused:
        tuning.require_fit(45 * 10**9, 24 * 10**9, "fine-tuning bert", "cpu")
    assert str(refused.value).startswith(
        "fine-tuning bert needs about 45 GB and this machine has 24 for it; lower the tokens"
    )
    tuning.require_fit(24 * 10**9, 24 * 10**9, "fine-tuning bert", "cpu")


def test_a_batch_in_parts_is_the_batch():
    model = torch.nn.Linear(3, 1)
    seen = []

    class Losing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = copy.deepcopy(model)

        def forward(self, rows):
            seen.append(len(rows))
            return SimpleNamespace(loss=self.inner(rows).square().mean())

    batches = [{"rows": torch.randn(7, 3)} for _ in range(5)]
    whole, parted = Losing(), Losing()
    how = {"steps": 5, "learning_rate": 0.1}
    losses = train(whole, batches, **how)
    assert train(parted, batches, **how, rows_at_once=3) == pytest.approx(losses)
    assert seen == [7] * 5 + [3, 3, 1] * 5
    for one, other in zip(whole.parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_batch_that_does_not_fit_is_gone_through_in_parts(bases, tmp_path, monkeypatch):
    config = AutoConfig.from_pretrained(bases / "encoder-only")
    parameters = sum(array.size for array in read_weights(bases / "encoder-only").values())
    four = memory.training_bytes_of(
        config, parameters, form="classification", batch_size=4, tokens=SHAPE["positions"]
    )
    monkeypatch.setattr(tuning, "device_bytes", lambda device: four / tuning._USABLE + 1)
    facts = tuned(bases / "encoder-only", "classification", tmp_path / "out")
    assert (facts["batch_size"], facts["rows_at_once"]) == (HOW["batch_size"], 4)


def test_the_device_has_memory():
    assert tuning.device_bytes("cpu") > 10**8


# -- the longest input ----------------------------------------------------------------------------


def test_texts_are_cut_at_what_the_model_reads(bases, tmp_path):
    facts = tuned(bases / "encoder-only", "classification", tmp_path / "out", max_tokens=10**4)
    config = json.loads((bases / "encoder-only" / "config.json").read_text(encoding="utf-8"))
    assert facts["max_tokens"] == config["max_position_embeddings"]


# -- the step -------------------------------------------------------------------------------------


def test_the_step_draws_examples_and_records_the_checkpoint(bases, tmp_path, monkeypatch):
    objects = Objects(tmp_path)
    with objects.scratch() as folder:
        (bases / "encoder-only").rename(folder / "base")
        base = objects.adopt(folder / "base")
    lines = "".join(json.dumps(e) + "\n" for e in EXAMPLES["classification"])
    asked = {
        "checkpoint": base,
        "form": "classification",
        "data": objects.put_bytes(lines.encode()),
        "labels": 2,
        "max_tokens": 48,
        "seed": 0,
    }
    record = fine_tune_checkpoint(objects, **asked, **HOW, examples=32)
    assert json.loads(json.dumps(record)) == record
    assert record["training"]["examples"] == 32
    weights = read_weights(objects.open(record["checkpoint"]["object"]))
    assert record["weights_sha256"] == weights_sha256(weights)
    assert record["parameters"] == sum(array.size for array in weights.values())
    everything = fine_tune_checkpoint(objects, **asked, **HOW, examples=None)
    assert everything["training"]["examples"] == 96
