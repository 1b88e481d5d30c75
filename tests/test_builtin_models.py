"""The built-in models: tokenizers, batches, training that repeats, folders that open."""

import random

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from analysis import language
from analysis.errors import RequestError
from analysis.models import architectures, builtin, encoding, pretraining, training
from analysis.models.builtin import Recipe
from analysis.models.catalogue import BUILTIN, MAX_TOKENS

NAMES = tuple(BUILTIN)


@pytest.fixture(scope="module")
def tokenizers():
    return {name: architectures.build_tokenizer(name) for name in NAMES}


@pytest.fixture
def tiny_recipes(monkeypatch):
    """A few steps of everything: enough to see that it runs, repeats and saves."""
    short = Recipe(3, 8, 1e-3, 64)
    monkeypatch.setattr(builtin, "_PRETRAINING", dict.fromkeys(NAMES, short))
    monkeypatch.setattr(builtin, "_FINE_TUNING", dict.fromkeys(builtin._FINE_TUNING, short))


# -- tokenizers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_tokenizers_round_trip_every_text(tokenizers, name):
    tokenizer = tokenizers[name]
    texts = language.paragraphs(400, 3, split="test")
    for make in (language.sentiment, language.paraphrase, language.headline):
        texts += [v for e in make(200, 3) for v in e.values() if isinstance(v, str)]
    for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        assert len(ids) <= MAX_TOKENS
        assert tokenizer.unk_token_id not in ids


@pytest.mark.parametrize("name", NAMES)
def test_tokenizers_are_built_the_same_twice(tokenizers, name):
    again = architectures.build_tokenizer(name)
    assert again.backend_tokenizer.to_str() == tokenizers[name].backend_tokenizer.to_str()


def test_text_in_other_scripts_is_unknown_but_no_error(tokenizers):
    for tokenizer in tokenizers.values():
        assert tokenizer("naïve 日本")["input_ids"]


# -- batches --------------------------------------------------------------------------------------


def test_causal_batch_goes_from_beginning_to_end(tokenizers):
    tokenizer = tokenizers["tiny-gpt2"]
    batch = encoding.causal_batch(tokenizer, ["The mayor opened a park.", "The end."], MAX_TOKENS)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    lengths = batch["attention_mask"].sum(1).tolist()
    assert lengths[0] > lengths[1]
    for row, labels, length in zip(batch["input_ids"], batch["labels"], lengths, strict=True):
        assert row[0] == tokenizer.bos_token_id
        assert row[length - 1] == end
        assert (row[length:] == pad).all()
        assert (labels[length:] == encoding.IGNORED).all()
        assert torch.equal(labels[:length], row[:length])


def test_causal_batch_cuts_long_texts_without_an_end(tokenizers):
    tokenizer = tokenizers["tiny-gpt2"]
    batch = encoding.causal_batch(tokenizer, ["The mayor opened a park."], 4)
    assert batch["input_ids"].shape == (1, 4)
    assert tokenizer.eos_token_id not in batch["input_ids"][0, 1:]


@pytest.mark.parametrize("name", NAMES)
def test_classification_batch_pads_on_the_right(tokenizers, name):
    tokenizer = tokenizers[name]
    first, second = ["The mayor opened a park.", "No."], ["A park was opened.", "Never."]
    for others in (None, second):
        batch = encoding.classification_batch(tokenizer, first, others, MAX_TOKENS)
        assert "labels" not in batch
        assert ("token_type_ids" in batch) == (name == "tiny-bert")
        assert batch["attention_mask"][0].all()
        assert batch["attention_mask"][1].tolist() == sorted(
            batch["attention_mask"][1], reverse=True
        )
        assert (batch["input_ids"][1, -1] == tokenizer.pad_token_id).all()


def test_bart_rows_have_the_same_number_of_ends(tokenizers):
    tokenizer = tokenizers["tiny-bart"]
    pairs = language.restatements(50, 2)
    for limit in (MAX_TOKENS, 12):
        batch = encoding.classification_batch(
            tokenizer, [a for a, _ in pairs], [b for _, b in pairs], limit
        )
        assert set((batch["input_ids"] == tokenizer.eos_token_id).sum(1).tolist()) == {3}


def test_text_to_text_labels_are_ignored_on_padding(tokenizers):
    tokenizer = tokenizers["tiny-bart"]
    sources = ["The mayor opened a park.", "No."]
    batch = encoding.text_to_text_batch(tokenizer, sources, ["Mayor opens park", "No"], MAX_TOKENS)
    assert (batch["labels"][1] == encoding.IGNORED).any()
    assert tokenizer.pad_token_id not in batch["labels"]
    assert "labels" not in encoding.text_to_text_batch(tokenizer, sources, None, MAX_TOKENS)


def test_tokenizer_without_padding_is_padded_with_its_end():
    words = Tokenizer(models.WordLevel({"<end>": 0, "a": 1, "b": 2}, unk_token="<end>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    plain = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", bos_token="<end>")
    batch = encoding.causal_batch(plain, ["a b", "a"], 8)
    assert batch["input_ids"].tolist() == [[0, 1, 2, 0], [0, 1, 0, 0]]
    assert batch["labels"].tolist() == [[0, 1, 2, 0], [0, 1, 0, -100]]
    pair = encoding.classification_batch(plain, ["a", "a b"], ["b", "a"], 8)
    assert pair["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]


def test_masked_batch_asks_only_for_what_it_chose(tokenizers):
    tokenizer = tokenizers["tiny-bert"]
    pairs = language.restatements(100, 4)
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    plain = encoding.classification_batch(tokenizer, first, second, MAX_TOKENS)["input_ids"]
    masked = encoding.masked_batch(
        tokenizer, first, second, MAX_TOKENS, share=0.3, generator=torch.Generator().manual_seed(1)
    )
    asked = masked["labels"] != encoding.IGNORED
    assert torch.equal(masked["labels"][asked], plain[asked])
    assert torch.equal(masked["input_ids"][~asked], plain[~asked])
    assert not torch.isin(plain[asked], torch.tensor(tokenizer.all_special_ids)).any()
    hidden = (masked["input_ids"][asked] == tokenizer.mask_token_id).float().mean()
    assert 0.7 < hidden < 0.9


def test_gaps_replace_about_a_third_of_the_words():
    text = " ".join(f"w{i}" for i in range(5_000))
    words = pretraining.with_gaps(text, "<mask>", random.Random(1)).split()
    kept = [word for word in words if word != "<mask>"]
    assert 0.6 < len(kept) / 5_000 < 0.75
    assert set(kept) < set(text.split())


# -- training -------------------------------------------------------------------------------------


def trained(tokenizer, seed: int) -> tuple[dict[str, torch.Tensor], list[float]]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = architectures.build_model("tiny-gpt2", tokenizer)
    texts = [{"text": text} for text in language.paragraphs(256, 0)]
    losses = training.fine_tune(
        model, tokenizer, "causal", texts, steps=12, batch_size=16, learning_rate=3e-3, seed=seed
    )
    return model.state_dict(), losses


def test_training_lowers_the_loss_and_repeats_bit_for_bit(tokenizers):
    weights, losses = trained(tokenizers["tiny-gpt2"], 1)
    again, _ = trained(tokenizers["tiny-gpt2"], 1)
    other, _ = trained(tokenizers["tiny-gpt2"], 2)
    assert sum(losses[-3:]) < sum(losses[:3]) - 1
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not all(torch.equal(weights[name], other[name]) for name in weights)


def test_every_epoch_takes_every_example_once():
    examples = [{"text": "x" * i} for i in range(50)]
    seen: list[str] = []

    def make(chosen):
        seen.extend(example["text"] for example in chosen)
        return {}

    batches = training.shuffled_batches(examples, 8, make, seed=3)
    for _ in range(7):
        next(batches)
    assert sorted(seen) == sorted(example["text"] for example in examples)


def test_wrong_requests_say_what_is_allowed(tokenizers, tmp_path):
    with pytest.raises(
        RequestError, match=r"unknown built-in model 'tiny-brt'\. Did you mean 'tiny-b"
    ):
        builtin.pretrain("tiny-brt", seed=0, threads=1, out=tmp_path)
    model = architectures.build_model("tiny-gpt2", tokenizers["tiny-gpt2"])
    with pytest.raises(RequestError, match="unknown form of task 'casual'"):
        training.fine_tune(
            model, tokenizers["tiny-gpt2"], "casual", [{}], batch_size=1, learning_rate=1, seed=0
        )


CLASSES = {
    "sentiment": AutoModelForSequenceClassification,
    "paraphrase": AutoModelForSequenceClassification,
    "headline": AutoModelForSeq2SeqLM,
}


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("tiny-bert", ("sentiment", "paraphrase")),
        ("tiny-gpt2", ("sentiment",)),
        ("tiny-bart", ("headline", "sentiment")),
    ],
)
def test_saved_folders_open_again(tiny_recipes, tmp_path, name, tasks):
    facts = builtin.pretrain(name, seed=0, threads=1, out=tmp_path / "base")
    assert facts["steps"] == 3
    assert 0.8e6 < facts["parameters"] < 1.3e6
    for task in tasks:
        folder = tmp_path / task
        builtin.fine_tune_builtin(tmp_path / "base", task, seed=0, threads=1, out=folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = CLASSES[task].from_pretrained(folder)
        batch = encoding.classification_batch(tokenizer, ["The mayor won."], None, MAX_TOKENS)
        assert torch.isfinite(model(**batch).logits).all()
        assert model.config.pad_token_id == tokenizer.pad_token_id
    with pytest.raises(RequestError, match="unknown task of"):
        builtin.fine_tune_builtin(tmp_path / "base", "singing", seed=0, threads=1, out=tmp_path)


def test_pretraining_repeats_bit_for_bit(tiny_recipes, tmp_path):
    for folder in ("one", "two"):
        builtin.pretrain("tiny-bert", seed=7, threads=1, out=tmp_path / folder)
    one, two = (
        AutoModelForMaskedLM.from_pretrained(tmp_path / folder).state_dict()
        for folder in ("one", "two")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    files = [tmp_path / folder / "model.safetensors" for folder in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
