"""Models trained from scratch: tokenizer, objectives over given texts, folders that open."""

import json
import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

from analysis import language
from analysis.errors import RequestError
from analysis.models import encoding, pretraining, training
from analysis.models.scratch import pretrain_scratch
from analysis.models.vocabulary import learn_tokenizer
from analysis.models.weights import read_weights, weights_sha256
from analysis.objects import Objects
from analysis.steps import scratch as step

SHAPE = {
    "layers": 2,
    "width": 32,
    "heads": 2,
    "vocabulary": 500,
    "positions": 48,
    "dropout": 0.1,
}
TUNING = {"epochs": 3, "learning_rate": 5e-3, "batch_size": 16}
CLASSES = {
    "encoder-only": AutoModelForMaskedLM,
    "decoder-only": AutoModelForCausalLM,
    "encoder-decoder": AutoModelForSeq2SeqLM,
}
FAMILIES = tuple(CLASSES)
TEXTS = [
    *language.paragraphs(120, 0),
    *language.restatements(80, 0),
    "\n\n".join(language.paragraphs(40, 1)),  # longer than any window
]


def pretrained(family, out, *, texts=TEXTS, seed=0, **changes):
    return pretrain_scratch(family, SHAPE | changes, texts, TUNING, seed=seed, threads=1, out=out)


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    return request.param, out, pretrained(request.param, out)


def test_it_learns_from_the_texts(saved):
    _, _, facts = saved
    assert facts["final_loss"] < math.log(facts["vocabulary"]) - 1
    assert facts["steps"] == round(3 * facts["examples"] / 16)
    assert facts["examples"] > len(TEXTS)  # the long one is read in pieces


def test_the_folder_opens_and_has_the_shape(saved):
    family, out, facts = saved
    model = CLASSES[family].from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 32, 2)
    assert config.vocab_size == len(tokenizer) == facts["vocabulary"] <= 500
    assert config.max_position_embeddings == tokenizer.model_max_length == 48
    assert config.pad_token_id == tokenizer.pad_token_id is not None
    assert sum(p.numel() for p in model.parameters()) == facts["parameters"]
    if family == "encoder-decoder":
        assert (config.encoder_layers, config.decoder_layers) == (2, 2)


def test_it_repeats_for_a_seed_whatever_was_drawn_before(saved, tmp_path):
    family, out, _ = saved
    torch.manual_seed(random.randrange(1 << 30))
    before = torch.random.get_rng_state()
    pretrained(family, tmp_path / "again")
    assert torch.equal(torch.random.get_rng_state(), before)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()
    pretrained(family, tmp_path / "other", seed=1)
    assert weights_sha256(read_weights(tmp_path / "other")) != weights_sha256(read_weights(out))


@pytest.mark.parametrize("texts", [[], [""], [" \n", ("", "\t")]])
def test_no_texts_are_refused(tmp_path, texts):
    with pytest.raises(RequestError, match="there are none; give training data"):
        pretrained("decoder-only", tmp_path, texts=texts)
    assert not list(tmp_path.iterdir())


def test_an_impossible_request_says_what_is_allowed(tmp_path):
    with pytest.raises(RequestError, match="unknown family 'encoder'"):
        pretrained("encoder", tmp_path)
    with pytest.raises(RequestError, match="width 32 cannot be divided among 3 heads"):
        pretrained("encoder-only", tmp_path, heads=3)


# -- tokenizers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizers():
    texts = [text for text in TEXTS if isinstance(text, str)]
    return {
        (family, uncased): learn_tokenizer(family, texts, size=500, max_tokens=48, uncased=uncased)
        for family in FAMILIES
        for uncased in (False, True)
    }


@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60))
def test_every_text_round_trips(tokenizers, text):
    tokenizer = tokenizers["decoder-only", False]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    special = any(token in text for token in tokenizer.all_special_tokens)
    assert special or tokenizer.decode(ids) == text


def test_an_uncased_tokenizer_has_one_token_for_a_word_wherever_it_stands(tokenizers):
    tokenizer = tokenizers["encoder-only", True]
    ids = tokenizer("The mayor The", add_special_tokens=False)["input_ids"]
    assert ids[0] == ids[-1]
    assert ids == tokenizer("the MAYOR the", add_special_tokens=False)["input_ids"]


def test_a_vocabulary_is_no_larger_than_its_texts_give():
    tokenizer = learn_tokenizer("decoder-only", ["a b"], size=8_000, max_tokens=8)
    assert len(tokenizer) <= 256 + 3 + 3


# -- texts cut to what a model reads --------------------------------------------------------------


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 90), min_size=1, max_size=5), limit=st.integers(2, 40))
def test_windows_predict_every_token_once(tokenizers, lengths, limit):
    tokenizer = tokenizers["decoder-only", False]
    words = [f"w{i}" for i in range(100)]
    texts = [" ".join(words[:length]) for length in lengths]
    examples = training.in_windows(tokenizer, [{"text": text} for text in texts], limit)
    batch = training.causal_batch_of(tokenizer, examples, limit)
    assert batch["input_ids"].shape[1] <= limit
    predicted = [row[1:][row[1:] != encoding.IGNORED].tolist() for row in batch["labels"]]
    bodies = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    expected = [token for body in bodies for token in (*body, tokenizer.eos_token_id)]
    assert [token for row in predicted for token in row] == expected


def test_texts_that_fit_are_not_touched(tokenizers):
    examples = [{"text": text} for text in language.paragraphs(20, 5)]
    assert training.in_windows(tokenizers["decoder-only", False], examples, 200) == examples


@settings(deadline=None)
@given(
    text=st.text(st.sampled_from("abc .\n"), max_size=300),
    limit=st.integers(4, 30),
    family=st.sampled_from(FAMILIES),
)
def test_pieces_fit_and_lose_nothing_but_white_space(tokenizers, text, limit, family):
    tokenizer = tokenizers[family, False]
    pieces = pretraining.pieces(tokenizer, [text], limit)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    room = limit - tokenizer.num_special_tokens_to_add()
    for piece in pieces:  # a cut may split a token that two letters made: one more at most
        assert len(tokenizer(piece, add_special_tokens=False)["input_ids"]) <= room + 1


def test_single_texts_and_pairs_come_in_proportion(tokenizers):
    texts = [*["A park was opened."] * 300, *[("One.", "Other.")] * 100]
    count, batches = pretraining.masked_words(tokenizers["encoder-only", True], texts, 4, 48, 0)
    assert count == 400
    pairs = sum(bool(next(batches)["token_type_ids"].any()) for _ in range(400))
    assert 60 < pairs < 140


# -- the step -------------------------------------------------------------------------------------


def test_the_step_reads_training_examples_of_every_form(tmp_path):
    objects = Objects(tmp_path)
    written = [
        [{"first": one, "label": 1} for one in language.paragraphs(30, 2)],
        [{"first": a, "second": b, "label": 0} for a, b in language.restatements(30, 2)],
        [{"source": a, "target": b} for a, b in language.restatements(30, 3)],
        [{"text": text} for text in language.paragraphs(30, 4)],
    ]
    digests = [
        objects.put_bytes("".join(json.dumps(e) + "\n" for e in examples).encode())
        for examples in written
    ]
    record = step.pretrain_scratch(
        objects,
        family="encoder-only",
        shape=SHAPE,
        training=TUNING,
        texts=digests,
        seed=0,
        threads=1,
    )
    assert json.loads(json.dumps(record)) == record
    assert record["training"]["examples"] >= 30 + 30 + 60 + 30
    weights = read_weights(objects.open(record["checkpoint"]["object"]))
    assert record["weights_sha256"] == weights_sha256(weights)
    assert record["parameters"] == sum(array.size for array in weights.values())
    assert 0 < record["prunable_parameters"] < record["parameters"]
    assert (record["dtype"], record["source"]) == ("float32", "scratch")
    assert record["train_seconds"] > 0


def test_a_pair_stays_together_and_a_translation_does_not():
    assert step.texts_of({"first": "a", "second": "b", "label": 1}) == [("a", "b")]
    assert step.texts_of({"source": "a", "target": "b"}) == ["a", "b"]
    assert step.texts_of({"first": "a", "label": 1}) == step.texts_of({"text": "a"}) == ["a"]
