"""Fine-tuning of any checkpoint: every form, fresh heads, repeats, and what it refuses."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from checkpoints import weights_sha256
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import language
from analysis.checkpoints.weights import read_weights
from analysis.errors import RequestError, RunError
from analysis.models.loading import load_model
from analysis.steps.checkpoints.tuned import fine_tune_checkpoint
from analysis.steps.examples.training import training_examples
from analysis.training import memory, tuning
from analysis.training.course import Course
from analysis.training.distillation import Distillation
from analysis.training.loop import fine_tune
from analysis.training.scratch import pretrain_scratch

SHAPE = {"layers": 1, "width": 32, "heads": 2, "vocabulary": 500, "positions": 48, "dropout": 0.0}
HOW = {"learning_rate": 5e-3, "batch_size": 16, "epochs": 1, "threads": 1, "device": "cpu"}
HOW |= {"seed": 0, "max_tokens": 48}
TASKS = {"classification": "sentiment", "pairs": "paraphrase", "causal": "language-modelling"}
TASKS |= {"text-to-text": "headline"}
EXAMPLES = {form: training_examples(None, task, None, 96, 0)[1] for form, task in TASKS.items()}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    brief = {"epochs": 0.2, "learning_rate": 1e-3, "batch_size": 16}
    texts = [*language.paragraphs(60, 0), *(e["first"] for e in EXAMPLES["classification"])]
    for family in ("encoder-only", "decoder-only", "encoder-decoder"):
        pretrain_scratch(family, SHAPE, texts, brief, seed=0, threads=1, out=folder / family)
    return folder


@pytest.fixture
def tuned(bases, tmp_path):
    def tuned(what, out, family="encoder-only", examples=None, labels=2, **changes):
        form = "classification" if what == "pairs" else what
        examples = EXAMPLES[what] if examples is None else examples
        course = Course(form=form, examples=examples, **HOW | changes)
        return tuning.tune(bases / family, course, labels=labels, out=tmp_path / out)

    return tuned


@pytest.mark.parametrize(("family", "what", "labels"), [
    ("encoder-only", "classification", 5), ("decoder-only", "pairs", 2),
    ("decoder-only", "causal", None), ("encoder-decoder", "classification", 2),
    ("encoder-decoder", "text-to-text", None),
])  # fmt: skip
def test_every_form_is_learnt_and_the_folder_opens(tuned, tmp_path, family, what, labels):
    brief = tuned(what, "brief", family, epochs=0.2, labels=labels)
    facts = tuned(what, "long", family, epochs=5, labels=labels)
    assert facts["final_loss"] < brief["final_loss"]
    assert facts["steps"] == 30 or (facts["form"] == "causal" and facts["steps"] > 30)
    told = {"examples": 96, "epochs": 5, "batch_size": 16, "rows_at_once": 16, "max_tokens": 48}
    assert (told | {"device": "cpu", "learning_rate": 5e-3}).items() <= facts.items()
    model, tokenizer = load_model(tmp_path / "long", facts["form"], "cpu")
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert labels is None or model.config.num_labels == labels
    stored = read_weights(tmp_path / "long").values()
    assert {(a.dtype.name, bool(np.isfinite(a).all())) for a in stored} == {("float32", True)}


def test_a_tokenizer_that_knows_more_than_its_model_is_kept_to_it_or_refused(bases, tmp_path):
    config = transformers.DistilBertConfig(
        vocab_size=500, dim=32, n_layers=1, n_heads=2, hidden_dim=64, max_position_embeddings=48
    )
    transformers.DistilBertModel(config).save_pretrained(tmp_path / "distilled")
    tokenizer = transformers.AutoTokenizer.from_pretrained(bases / "encoder-only")
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # as BERT's
    tokenizer.save_pretrained(tmp_path / "distilled")
    how = {"labels": 2, "out": tmp_path / "out"}
    course = Course(form="classification", examples=EXAMPLES["pairs"], **HOW | {"epochs": 0.2})
    facts = tuning.tune(tmp_path / "distilled", course, **how)
    assert math.isfinite(facts["final_loss"])
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(tmp_path / "distilled")
    examples = [{"first": "a zebra", "label": 0}, {"first": "one", "label": 1}]
    with pytest.raises(RequestError, match=r"makes the token 'zebra', number 5.., and the model"):
        tuning.tune(tmp_path / "distilled", replace(course, examples=examples), **how)


def test_an_end_of_text_within_a_text_is_named_where_the_answer_is_read_at_the_end(tuned):
    examples = [*EXAMPLES["classification"][:2], {"first": "a </s> b", "label": 1}]
    with pytest.raises(RequestError, match=r"has '</s>' in it.*look for 'a </s> b' in the"):
        tuned("classification", "out", "encoder-decoder", examples=examples)


def test_it_repeats_for_a_seed_whatever_was_drawn_before_and_a_head_can_be_new(tuned, tmp_path):
    one = tuned("classification", "one")
    torch.rand(7)
    before = torch.random.get_rng_state()
    two = tuned("classification", "two")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one["final_loss"] == two["final_loss"]
    tuned("classification", "three", seed=1)
    stored = [(tmp_path / x / "model.safetensors").read_bytes() for x in ("one", "two", "three")]
    assert stored[0] == stored[1] != stored[2]
    tuned("classification", "wide", tmp_path / "one", labels=4, epochs=0.1)  # in place of two
    assert transformers.AutoConfig.from_pretrained(tmp_path / "wide").num_labels == 4


def test_a_long_causal_text_is_read_whole_and_others_as_far_as_the_model_reads(tuned, tmp_path):
    text = " ".join(language.paragraphs(40, 2))
    facts = tuned("causal", "out", "decoder-only", [{"text": text}], batch_size=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    tokens = len(tokenizer(text)["input_ids"]) + 2
    assert facts["steps"] == math.ceil((tokens - 1) / 47)
    assert tuned("pairs", "more", max_tokens=4_000)["max_tokens"] == SHAPE["positions"]


def test_matrices_are_multiplied_in_half_and_weights_kept_whole(tuned, tmp_path):
    half, whole = (tuned("classification", name, dtype=name) for name in ("bfloat16", "float32"))
    assert (half["dtype"], whole["dtype"]) == ("bfloat16", "float32")
    assert half["final_loss"] != whole["final_loss"]
    assert half["final_loss"] == pytest.approx(whole["final_loss"], rel=0.1)
    assert {a.dtype.name for a in read_weights(tmp_path / "bfloat16").values()} == {"float32"}


def test_wrong_requests_say_what_is_allowed(tuned, tmp_path):
    labelled = [{"first": "A park.", "label": 2}]
    for what, changes, message in (
        ("masked", {"examples": labelled}, "unknown form to fine-tune for 'masked'"),
        ("classification", {"examples": []}, "no training examples"),
        ("classification", {"labels": None}, "labels is how many a .*, 2 or more; got None"),
        ("classification", {"labels": 1}, "2 or more; got 1"),
        ("classification", {"dtype": "float16"}, "in float32 or bfloat16; 'float16'"),
        ("classification", {"examples": labelled}, "has the label 2, and labels go from 0 to 1"),
    ):
        with pytest.raises(RequestError, match=message):
            tuned(what, "out", **changes)
    assert not (tmp_path / "out").exists()


@settings(max_examples=40)
@given(parameters=st.integers(0, 10**10), sizes=st.tuples(*[st.integers(1, 64)] * 6))
def test_training_takes_the_papers_activations_and_sixteen_bytes_a_parameter(parameters, sizes):
    batch, tokens, layers, width, heads, vocabulary = sizes
    how = {"layers": layers, "width": width, "heads": heads, "vocabulary": vocabulary}
    read = batch, tokens
    whole, plain = (memory.training_bytes(p, read, **how) for p in (parameters, 0))
    assert whole - plain == 16 * parameters
    activations = plain - 6 * 4 * batch * tokens * vocabulary
    equation = layers * tokens * batch * width * (34 + 5 * heads * tokens / width)  # of 2 bytes
    assert activations == pytest.approx(2.25 * 2 * equation, abs=1)
    half = memory.training_bytes(0, read, **how, bytes_each=2)  # what is predicted is in float32
    assert plain - half == pytest.approx(activations / 2, abs=1)


def test_both_stacks_and_the_words_predicted_count():
    how = {"batch_size": 8, "tokens": 64, "bytes_each": 2}
    t5 = transformers.T5Config(num_layers=6, num_decoder_layers=2)
    both = memory.training_bytes_of(t5, 10**6, form="text-to-text", **how)
    alike = {"layers": 8, "width": t5.d_model, "heads": t5.num_heads, "vocabulary": t5.vocab_size}
    assert both == memory.training_bytes(10**6, (8, 64), **alike, bytes_each=2)
    gpt2 = memory.training_bytes_of(transformers.GPT2Config(), 9, form="classification", **how)
    assert gpt2 == memory.training_bytes(9, (8, 64), layers=12, width=768, heads=12, bytes_each=2)


def test_a_model_that_does_not_fit_is_refused_before_it_is_opened(tuned, tmp_path, monkeypatch):
    assert tuning.device_bytes("cpu") > 10**8
    monkeypatch.setattr(tuning, "device_bytes", lambda device: 1_000_000)
    with pytest.raises(RunError, match=r"fine-tuning needs about .* GB and this machine has"):
        tuned("classification", "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match=r"^bert needs about 45 GB and this machine has 24 for it;"):
        tuning.require_fit(45 * 10**9, 24 * 10**9, "bert", "cpu")
    tuning.require_fit(24 * 10**9, 24 * 10**9, "bert", "cpu")


def test_a_batch_that_does_not_fit_is_gone_through_in_parts(tuned, bases, tmp_path, monkeypatch):
    config = transformers.AutoConfig.from_pretrained(bases / "encoder-only")
    parameters = sum(array.size for array in read_weights(bases / "encoder-only").values())
    how = {"form": "classification", "batch_size": 4, "tokens": SHAPE["positions"]}
    four = memory.training_bytes_of(config, parameters, **how) / 0.75  # so much of it is used
    losses = []
    for available, rows in ((10**9, 14), (four + 2, 4), (four - 2, 2)):
        monkeypatch.setattr(tuning, "device_bytes", lambda device, bytes_=available: bytes_)
        facts = tuned("classification", str(rows), batch_size=14)  # the last part is smaller
        assert (facts["batch_size"], facts["rows_at_once"]) == (14, rows)
        losses.append(facts["final_loss"])
    assert losses[1:] == pytest.approx(losses[:1] * 2, rel=1e-3)


RAGGED = ["a", "a park was opened by the mayor of the old town", "no", "the park was not opened"]
PARTS = {  # family, and examples of the form whose texts and targets differ in length
    "classification": ("encoder-only", [{"first": t, "label": len(t) % 2} for t in RAGGED * 2]),
    "masked": ("encoder-only", [{"text": text} for text in RAGGED * 2]),
    "causal": ("decoder-only", [{"text": text} for text in RAGGED * 2]),
    "text-to-text": ("encoder-decoder", [
        {"source": text, "target": RAGGED[i % 4]} for i, text in enumerate(RAGGED * 2, start=1)
    ]),
}  # fmt: skip


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("form", PARTS)
def test_the_gradients_of_a_batch_in_parts_are_those_of_the_whole(bases, form, distilled):
    """With dropout they are the same for any number of parts, without it those of a plain pass."""
    family, examples = PARTS[form]
    classes = tuning._CLASSES | {"masked": transformers.AutoModelForMaskedLM}
    names = ("resid_pdrop", "attn_pdrop", "embd_pdrop", "hidden_dropout_prob", "dropout",
             "attention_probs_dropout_prob", "attention_dropout")  # fmt: skip

    def gradients(rows_at_once, dropout):
        config = transformers.AutoConfig.from_pretrained(bases / family)
        for name in filter(config.to_dict().__contains__, names):
            setattr(config, name, dropout)
        opened = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            one = classes[form].from_pretrained(bases / family, config=config)
            for parameter in one.parameters():
                parameter.data += 0.2 * torch.randn_like(parameter)
            opened.append(one)
        tokenizer = transformers.AutoTokenizer.from_pretrained(bases / family)
        trained = Distillation(*opened, form) if distilled else opened[0]
        course = Course(form=form, examples=examples, batch_size=8, learning_rate=0.0, seed=3,
                        rows_at_once=rows_at_once)  # fmt: skip
        losses = fine_tune(trained, tokenizer, course, steps=1)
        return losses, [p.grad for p in opened[0].parameters() if p.grad is not None]

    for dropout, sizes in ((0.0, (None, 8, 3, 1)), (0.4, (8, 5, 1))):
        (loss, whole), *others = [gradients(size, dropout) for size in sizes]
        assert len(whole) > 10
        for size, (again, parts) in zip(sizes[1:], others, strict=True):
            assert again == pytest.approx(loss, rel=1e-5), (size, dropout)
            for one, other in zip(parts, whole, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert gradients(8, 0.4)[0] != gradients(8, 0.0)[0]


def test_the_step_draws_examples_and_records_the_checkpoint(objects, bases):
    with objects.scratch() as folder:
        base = objects.adopt(shutil.copytree(bases / "encoder-only", folder / "base"))
    lines = "".join(json.dumps(e) + "\n" for e in EXAMPLES["classification"])
    data = objects.put_bytes(lines.encode())
    asked = {"checkpoint": base, "form": "classification", "data": data, "labels": 2}
    record, whole = (
        fine_tune_checkpoint(objects, **asked, course=HOW | {"examples": n}) for n in (32, None)
    )
    assert [found["training"]["examples"] for found in (record, whole)] == [32, 96]
    weights = read_weights(objects.open(record["checkpoint"]["object"]))
    assert record["weights_sha256"] == weights_sha256(weights)
    assert record["parameters"] == sum(array.size for array in weights.values())
