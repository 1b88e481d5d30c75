"""Pseudo-log-likelihood: each token hidden, with those to its right in its word."""

import functools
from dataclasses import replace

import architectures
import mini
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.calibration.batches import calibration_batches
from analysis.errors import RequestError
from analysis.models.encoding import IGNORED
from analysis.scoring.metrics import score
from analysis.scoring.predict import predict, prepare
from analysis.tasks import Task

pytestmark = pytest.mark.usefixtures("one_thread")

TASK = Task(
    title="pseudo-perplexity", measures="", form="masked", inputs=("text",), target=None,
    metrics=("perplexity",),
)  # fmt: skip
# "##" continues a word: "abcd" is a ##b ##cd
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "c", "##b", "##cd", "##a", ".", "e"]
ENDS = {"[CLS]": 2, "[SEP]": 3}
texts = st.lists(
    st.sampled_from(["a", "abcd", "ab", "caa", "e.", "xyz", "aab", "."]), max_size=9
).map(" ".join)


@functools.cache
def tokenizer():
    """Words in pieces, framed as BERT frames a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {piece: i for i, piece in enumerate(PIECES)}
    core = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=list(ENDS.items())
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


@functools.cache
def model(architecture):
    torch.manual_seed(0)
    made = architectures.model(architecture).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def found(architecture, drawn, batch_size=3, task=TASK):
    examples = [{"text": text} for text in drawn]
    inputs = prepare(model(architecture), tokenizer(), task, examples, batch_size)
    return predict(model(architecture), tokenizer(), task, inputs)


def by_a_loop(architecture, text):
    """One forward pass a token, written out."""
    encoded = tokenizer()(text)
    ids, words = encoded["input_ids"], encoded.word_ids()
    total = 0.0
    for i, word in enumerate(words):
        if word is None:
            continue
        hidden = list(ids)
        for j in range(i, len(ids)):
            if words[j] == word:
                hidden[j] = PIECES.index("[MASK]")
        with torch.inference_mode():
            logits = model(architecture)(torch.tensor([hidden])).logits[0, i]
        total += float(logits.double().log_softmax(-1)[ids[i]])
    return total


@pytest.mark.parametrize("architecture", ["Bert", "Roberta", "DebertaV2"])
@pytest.mark.parametrize("batch_size", [1, 3, 50, "auto"])
def test_it_is_a_plain_loops(architecture, batch_size):
    drawn = ["abcd e. a", "", "xyz", "caa ab abcd.", "a"]
    expected = [by_a_loop(architecture, text) for text in drawn]
    assert found(architecture, drawn, batch_size) == pytest.approx(expected, abs=1e-4)
    assert expected[1] == 0


def test_the_token_and_those_to_its_right_in_its_word_are_hidden():
    inputs = prepare(model("Bert"), tokenizer(), TASK, [{"text": "e abcd ."}], 9)
    rows = [tokenizer().convert_ids_to_tokens(row["input_ids"])[1:-1] for row in inputs.read.rows]
    assert rows == [
        ["[MASK]", "a", "##b", "##cd", "."],
        ["e", "[MASK]", "[MASK]", "[MASK]", "."],
        ["e", "a", "[MASK]", "[MASK]", "."],
        ["e", "a", "##b", "[MASK]", "."],
        ["e", "a", "##b", "##cd", "[MASK]"],
    ]
    asked = [[label for label in row["labels"] if label != IGNORED] for row in inputs.read.rows]
    assert tokenizer().convert_ids_to_tokens([i for (i,) in asked]) == [
        "e",
        "a",
        "##b",
        "##cd",
        ".",
    ]


@given(st.lists(texts, min_size=1, max_size=3), st.integers(3, 12))
def test_long_texts_are_read_in_parts_of_whole_words_and_each_token_is_asked_once(drawn, most):
    task = replace(TASK, max_tokens=most)
    inputs = prepare(model("Bert"), tokenizer(), task, [{"text": text} for text in drawn], 4)
    asked = {i: [] for i in range(len(drawn))}
    for row, owner in zip(inputs.read.rows, inputs.read.owners, strict=True):
        assert len(row["input_ids"]) <= most
        assert (row["input_ids"][0], row["input_ids"][-1]) == (2, 3)
        asked[owner] += [label for label in row["labels"] if label != IGNORED]
        first = tokenizer().convert_ids_to_tokens(row["input_ids"][1])
        if most >= 5:  # no word is longer than three pieces
            assert not first.startswith("##")
    bodies = tokenizer()(drawn, add_special_tokens=False)["input_ids"]
    assert list(asked.values()) == bodies


def test_only_the_logits_asked_for_are_computed():
    made, seen = model("Bert"), []
    hook = made.get_output_embeddings().register_forward_hook(
        lambda _, given, logits: seen.append(tuple(logits.shape))
    )
    found("Bert", ["abcd e."], 4)
    hook.remove()
    assert seen == [(4, 1, 60), (1, 1, 60)]
    with torch.inference_mode():
        assert made(torch.tensor([[2, 5, 3]])).logits.shape == (1, 3, 60)  # as it was


def test_pseudo_perplexity_is_per_word():
    drawn = ["abcd e", "a"]
    inputs = prepare(model("Bert"), tokenizer(), TASK, [{"text": text} for text in drawn], 4)
    predictions = predict(model("Bert"), tokenizer(), TASK, inputs)
    assert inputs.expected == [2, 1]
    scored = score(["perplexity"], predictions, inputs.expected)["perplexity"]["value"]
    assert scored == pytest.approx(float(torch.tensor(-sum(predictions) / 3).double().exp()))


def test_calibration_texts_are_read_with_nothing_hidden():
    batches = calibration_batches(model("Bert"), tokenizer(), "masked", [{"text": "a abcd"}], 20)
    assert [batch["input_ids"].tolist() for batch in batches] == [[[2, 5, 5, 7, 8, 3]]]
    assert "labels" not in batches[0]


def test_a_tokenizer_without_a_mask_is_refused_in_one_line():
    with pytest.raises(RequestError, match="mask token") as caught:
        prepare(model("Bert"), mini.tokenizer("GPT2"), TASK, [{"text": "a"}], 1)
    assert "\n" not in str(caught.value)
