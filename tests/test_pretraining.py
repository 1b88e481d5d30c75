"""Models trained here, built-in and from scratch: tokenizers, batches, objectives, folders."""

import json
import math

import pytest
import torch
import transformers
from checkpoints import weights_sha256
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from analysis import language
from analysis.checkpoints.weights import read_weights
from analysis.errors import RequestError
from analysis.models import encoding
from analysis.models.catalogue import BUILTIN, MAX_TOKENS
from analysis.steps.checkpoints import scratch
from analysis.training import architectures, batches, builtin, loop, pretraining
from analysis.training.course import Course
from analysis.training.scratch import pretrain_scratch
from analysis.training.vocabulary import learn_tokenizer

PAIRS = [list(side) for side in zip(*language.restatements(100, 4), strict=True)]
SENTENCES = ["The mayor opened a park.", "No."]
SHAPE = {"layers": 2, "width": 32, "heads": 2, "vocabulary": 500, "positions": 48, "dropout": 0.1}
TUNING = {"epochs": 3, "learning_rate": 1e-2, "batch_size": 16}
FAMILIES = {"encoder-only": "MaskedLM", "decoder-only": "CausalLM", "encoder-decoder": "Seq2SeqLM"}
# the last longer than any window
TEXTS = [*language.paragraphs(60, 0), *language.restatements(40, 0),
         "\n\n".join(language.paragraphs(20, 1))]  # fmt: skip
PLAIN = [text for text in TEXTS if isinstance(text, str)]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tokenizers():
    return {name: architectures.build_tokenizer(name) for name in BUILTIN}


def test_tokenizers_round_trip_every_text(tokenizers):
    texts = language.paragraphs(400, 3, split="test")
    for make in (language.sentiment, language.paraphrase, language.headline):
        texts += [v for e in make(200, 3) for v in e.values() if isinstance(v, str)]
    for tokenizer in tokenizers.values():
        for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
            assert tokenizer.decode(ids, skip_special_tokens=True) == text
            assert len(ids) <= MAX_TOKENS
            assert tokenizer.unk_token_id not in ids
        assert tokenizer.unk_token_id in tokenizer("naïve 日本")["input_ids"]


def test_batches_are_padded_on_the_right_and_cut_within_what_is_special(tokenizers):
    for name, tokenizer in tokenizers.items():
        for others in (None, ["A park was opened.", "Never."]):
            batch = encoding.classification_batch(tokenizer, SENTENCES, others, MAX_TOKENS)
            numbers = {"token_type_ids"} if name == "tiny-bert" else set()
            assert batch.keys() == {"input_ids", "attention_mask"} | numbers
            first, second = batch["attention_mask"].tolist()
            assert set(first) == {1}
            assert second == sorted(second, reverse=True)
            assert batch["input_ids"][1, -1] == tokenizer.pad_token_id
    bart, targets = tokenizers["tiny-bart"], ["Mayor opens park", "No"]
    for limit in (MAX_TOKENS, 12):  # it looks at the last end
        rows = encoding.classification_batch(bart, *PAIRS, limit)["input_ids"]
        assert set((rows == bart.eos_token_id).sum(1).tolist()) == {3}
    labels = encoding.text_to_text_batch(bart, SENTENCES, targets, MAX_TOKENS)["labels"]
    assert (labels[1] == encoding.IGNORED).any()
    assert bart.pad_token_id not in labels
    assert "labels" not in encoding.text_to_text_batch(bart, SENTENCES, None, MAX_TOKENS)


def test_tokenizer_without_padding_is_padded_with_its_end():
    words = Tokenizer(models.WordLevel({"<end>": 0, "a": 1, "b": 2}, unk_token="<end>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    plain = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    batch = batches.causal_batch_of(plain, [{"text": "a b"}, {"text": "a"}], 8)
    assert batch["input_ids"].tolist() == [[0, 1, 2, 0], [0, 1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 1, 2, 0], [-100, 1, 0, -100]]
    pair = encoding.classification_batch(plain, ["a", "a b"], ["b", "a"], 8)
    assert pair["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]


def test_masked_batch_asks_only_for_what_it_chose(tokenizers):
    tokenizer = tokenizers["tiny-bert"]
    plain = encoding.classification_batch(tokenizer, *PAIRS, MAX_TOKENS)["input_ids"]
    seed = torch.Generator().manual_seed(1)
    masked = encoding.masked_batch(tokenizer, *PAIRS, MAX_TOKENS, share=0.3, generator=seed)
    asked = masked["labels"] != encoding.IGNORED
    special = torch.isin(plain, torch.tensor(tokenizer.all_special_ids))
    assert not asked[special].any()
    assert asked[~special].float().mean() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(masked["labels"][asked], plain[asked])
    assert torch.equal(masked["input_ids"][~asked], plain[~asked])
    hidden = (masked["input_ids"] == tokenizer.mask_token_id)[asked].float().mean()
    left = (masked["input_ids"] == plain)[asked].float().mean()
    assert (float(hidden), float(left)) == pytest.approx((0.8, 0.1), abs=0.05)


def test_every_epoch_takes_every_example_once():
    examples = [{"text": "x" * i} for i in range(50)]
    drawn = batches.shuffled_batches(examples, 8, list, seed=3)
    epochs = [[example for _ in range(7) for example in next(drawn)] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert [sorted(epoch, key=lambda e: e["text"]) for epoch in epochs] == [examples] * 2


@pytest.mark.parametrize("name", BUILTIN)
def test_saved_folders_open_again_and_repeat(tokenizers, monkeypatch, tmp_path, name):
    tasks = [task for known, task in builtin._FINE_TUNING if known == name]
    short = builtin.Recipe(3, 8, 1e-3, 64)  # enough to see that it runs, repeats and saves
    monkeypatch.setattr(builtin, "_PRETRAINING", dict.fromkeys(BUILTIN, short))
    monkeypatch.setattr(builtin, "_FINE_TUNING", dict.fromkeys(builtin._FINE_TUNING, short))
    facts = builtin.pretrain(name, seed=7, threads=1, out=tmp_path / "base")
    assert (facts["steps"], facts["examples"]) == (3, 64)
    assert 0.8e6 < facts["parameters"] < 1.3e6
    found = json.loads((tmp_path / "base" / "tokenizer.json").read_text(encoding="utf-8"))
    assert found["model"] == json.loads(tokenizers[name].backend_tokenizer.to_str())["model"]
    monkeypatch.setattr(builtin, "build_tokenizer", tokenizers.get)
    builtin.pretrain(name, seed=7, threads=1, out=tmp_path / "again")
    builtin.pretrain(name, seed=8, threads=1, out=tmp_path / "other")
    files = [tmp_path / name / "model.safetensors" for name in ("base", "again", "other")]
    base, again, other = (path.read_bytes() for path in files)
    assert base == again != other
    for task in tasks:
        folder = tmp_path / task
        builtin.fine_tune_builtin(tmp_path / "base", task, seed=0, threads=1, out=folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        what = "Seq2SeqLM" if task == "headline" else "SequenceClassification"
        model = getattr(transformers, f"AutoModelFor{what}").from_pretrained(folder)
        batch = encoding.classification_batch(tokenizer, SENTENCES, None, MAX_TOKENS)
        assert torch.isfinite(model(**batch).logits).all()
        assert model.config.pad_token_id == tokenizer.pad_token_id
    with pytest.raises(RequestError, match="unknown task of"):
        builtin.fine_tune_builtin(tmp_path / "base", "singing", seed=0, threads=1, out=tmp_path)


def pretrained(family, out, *, texts=TEXTS, seed=0, **changes):
    return pretrain_scratch(family, SHAPE | changes, texts, TUNING, seed=seed, threads=1, out=out)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_learns_from_the_texts_and_the_folder_opens_and_has_the_shape(tmp_path, family):
    facts = pretrained(family, tmp_path)
    assert facts["final_loss"] < math.log(facts["vocabulary"]) - 1
    assert facts["steps"] == round(3 * facts["examples"] / 16)
    assert facts["examples"] > len(TEXTS)  # the long one is read in pieces
    model = getattr(transformers, f"AutoModelFor{FAMILIES[family]}").from_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 32, 2)
    assert config.vocab_size == len(tokenizer) == facts["vocabulary"] <= 500
    assert config.max_position_embeddings == tokenizer.model_max_length == 48
    assert config.pad_token_id == tokenizer.pad_token_id is not None
    assert sum(p.numel() for p in model.parameters()) == facts["parameters"]
    if family == "encoder-decoder":
        assert (config.encoder_layers, config.decoder_layers) == (2, 2)


def test_wrong_requests_say_what_is_allowed(tokenizers, tmp_path):
    nothing, none = ([], [""], [" \n", ("", "\t")]), "there are none; give training data"
    for family, changes, says in (
        *(("decoder-only", {"texts": texts}, none) for texts in nothing),
        ("encoder", {}, "unknown family 'encoder'"),
        ("encoder-only", {"heads": 3}, "width 32 cannot be divided among 3 heads"),
    ):
        with pytest.raises(RequestError, match=says):
            pretrained(family, tmp_path, **changes)
    with pytest.raises(RequestError, match=r"model 'tiny-brt'\. Did you mean 'tiny-b"):
        builtin.pretrain("tiny-brt", seed=0, threads=1, out=tmp_path)
    model = architectures.build_model("tiny-gpt2", tokenizers["tiny-gpt2"])
    wrong = Course(form="casual", examples=[{}], batch_size=1, learning_rate=1, seed=0)
    with pytest.raises(RequestError, match="unknown form of task 'casual'"):
        loop.fine_tune(model, tokenizers["tiny-gpt2"], wrong)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def learnt():
    return {family: learn_tokenizer(family, PLAIN, size=500, max_tokens=48) for family in FAMILIES}


def test_an_uncased_tokenizer_has_one_token_for_a_word_and_no_more_than_its_texts_give():
    uncased = learn_tokenizer("encoder-only", PLAIN, size=500, max_tokens=48, uncased=True)
    one, _, other = ids = uncased("The mayor The").input_ids[1:-1]
    assert (one, ids) == (other, uncased("the MAYOR the").input_ids[1:-1])
    assert len(learn_tokenizer("decoder-only", ["a b"], size=8_000, max_tokens=8)) <= 256 + 3 + 3


@settings(max_examples=40)
@given(lengths=st.lists(st.integers(0, 90), min_size=1, max_size=5), limit=st.integers(2, 40))
def test_windows_predict_every_token_once(learnt, lengths, limit):
    tokenizer = learnt["decoder-only"]
    whole = [{"text": " ".join(f"w{i}" for i in range(length))} for length in lengths]
    examples = batches.in_windows(tokenizer, whole, limit)
    batch = batches.causal_batch_of(tokenizer, examples, limit)
    assert batch["input_ids"].shape[1] <= limit
    predicted = [row[1:][row[1:] != encoding.IGNORED].tolist() for row in batch["labels"]]
    bodies = [tokenizer(e["text"], add_special_tokens=False)["input_ids"] for e in whole]
    expected = [token for body in bodies for token in (*body, tokenizer.eos_token_id)]
    assert [token for row in predicted for token in row] == expected
    longest = max(len(body) for body in bodies) + 2
    assert batches.in_windows(tokenizer, whole, longest) == whole


@settings(max_examples=60)
@given(st.text(st.sampled_from("abc .\n"), max_size=300), st.integers(4, 30),
       st.sampled_from(sorted(FAMILIES)))  # fmt: skip
def test_pieces_fit_and_lose_nothing_but_white_space(learnt, text, limit, family):
    tokenizer = learnt[family]
    pieces = pretraining.pieces(tokenizer, [text], limit)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    room = limit - tokenizer.num_special_tokens_to_add()
    for piece in pieces:  # a cut may split a token that two letters made: one more at most
        assert len(tokenizer(piece, add_special_tokens=False)["input_ids"]) <= room + 1


def test_the_step_reads_training_examples_of_every_form(objects):
    written = [
        [{"first": one, "label": 1} for one in language.paragraphs(30, 2)],
        [{"first": a, "second": b, "label": 0} for a, b in language.restatements(30, 2)],
        [{"source": a, "target": b} for a, b in language.restatements(30, 3)],
        [{"text": text} for text in language.paragraphs(30, 4)],
    ]
    lines = ["".join(json.dumps(e) + "\n" for e in examples) for examples in written]
    texts = [objects.put_bytes(text.encode()) for text in lines]
    asked = {"family": "encoder-only", "shape": SHAPE, "training": TUNING, "threads": 1}
    asked |= {"texts": texts}
    record = scratch.pretrain_scratch(objects, **asked, seed=0)
    assert record["training"]["examples"] >= 30 + 30 + 60 + 30
    weights = read_weights(objects.open(record["checkpoint"]["object"]))
    assert record["weights_sha256"] == weights_sha256(weights)
    again, other = (scratch.pretrain_scratch(objects, **asked, seed=seed) for seed in (0, 1))
    assert record["weights_sha256"] == again["weights_sha256"] != other["weights_sha256"]
    count = sum(array.size for array in weights.values())
    assert 0 < record["prunable_parameters"] < record["parameters"] == count
    assert (record["dtype"], record["source"]) == ("float32", "scratch")
    # a pair stays together, and a translation does not
    assert scratch.texts_of(written[1][0]) == [language.restatements(30, 2)[0]]
    assert scratch.texts_of(written[2][0]) == [*language.restatements(30, 3)[0]]
    assert scratch.texts_of({"first": "a", "label": 1}) == scratch.texts_of({"text": "a"}) == ["a"]
