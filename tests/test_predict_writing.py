"""Text-to-text: sources, labels in words, beams, lengths and languages."""

import functools
from dataclasses import replace

import architectures
import mini
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from analysis.models.encoding import set_languages, text_to_text_batch
from analysis.models.replica_tokenizers import write_tokenizer
from analysis.scoring.predict import predict, prepare
from analysis.scoring.writing import NO_LABEL, label_of
from analysis.tasks import Task

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = mini.tokenizer("GPT2").convert_ids_to_tokens(range(10, 20))
TASK = Task(
    title="writing", measures="", form="text-to-text", inputs=("text",), target="other",
    metrics=("rouge1",), max_new_tokens=6,
)  # fmt: skip
EXAMPLES = [
    {"text": " ".join(WORDS[i : i + 1 + i % 4]), "other": WORDS[i], "label": i % 2}
    for i in range(8)
]


@functools.cache
def opened():
    torch.manual_seed(0)
    model = architectures.model("Bart").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model, mini.tokenizer("Bart")


def written(task, tokenizer=None, model=None):
    model, own = model or opened()[0], tokenizer or opened()[1]
    inputs = prepare(model, own, task, EXAMPLES, 3)
    return predict(model, own, task, inputs)


@pytest.fixture
def calls(monkeypatch):
    """The options of each call of `generate`."""
    model, seen = opened()[0], []
    own = model.generate

    def generate(**options):
        seen.append(options)
        return own(**options)

    monkeypatch.setattr(model, "generate", generate)
    return seen


def test_the_source_is_the_tasks_prompt():
    model, tokenizer = opened()
    task = replace(TASK, prompt="{other} {text}")
    inputs = prepare(model, tokenizer, task, EXAMPLES, 3)
    rows = [inputs.read.rows[place]["input_ids"] for place in inputs.read.places]
    assert rows == [tokenizer(f"{e['other']} {e['text']}")["input_ids"] for e in EXAMPLES]


def test_no_more_is_written_than_the_task_allows(calls):
    for most in (1, 4):
        texts = written(replace(TASK, max_new_tokens=most))
        assert max(len(text.split()) for text in texts) <= most
        assert {options["max_new_tokens"] for options in calls} == {most}
        calls.clear()


def test_beams_are_the_tasks_or_else_the_checkpoints(calls, monkeypatch):
    monkeypatch.setattr(opened()[0].generation_config, "num_beams", 3)
    own = written(replace(TASK, beams=None))
    assert all("num_beams" not in options for options in calls)
    assert own == written(replace(TASK, beams=3))
    monkeypatch.setattr(opened()[0].generation_config, "num_beams", 1)
    assert written(replace(TASK, beams=None)) == written(replace(TASK, beams=1))


def test_nothing_is_drawn_by_chance(monkeypatch):
    monkeypatch.setattr(opened()[0].generation_config, "do_sample", True)
    assert written(TASK) == written(TASK)


@given(st.sampled_from([("negative", "positive"), ("no", "yes"), ("A", "b", "C ")]), st.data())
def test_a_label_is_the_word_that_is_written_whatever_its_case(words, data):
    number = data.draw(st.integers(0, len(words) - 1))
    dressed = data.draw(st.sampled_from(["{}", " {}\n", "\t{} "]))
    for text in (words[number], words[number].upper(), words[number].title()):
        assert label_of(dressed.format(text), words) == number


@pytest.mark.parametrize("text", ["", "posit", "positive.", "not positive", "1", "négative"])
def test_any_other_text_is_no_label(text):
    assert label_of(text, ("negative", "positive")) == NO_LABEL


def test_labels_are_what_the_model_writes_and_held_against_the_examples():
    texts = written(TASK)
    words = (texts[0].upper(), texts[-1])
    task = replace(TASK, label_words=words, target="label", metrics=("accuracy", "f1"))
    assert written(task) == [label_of(text, words) for text in texts]
    assert 0 in written(task)
    inputs = prepare(*opened(), task, EXAMPLES, 3)
    assert inputs.expected == [e["label"] for e in EXAMPLES]


def test_a_new_line_of_pegasus_is_one(monkeypatch):
    tokenizer = mini.tokenizer("Bart")
    monkeypatch.setattr(
        tokenizer, "batch_decode", lambda ids, **options: ["One.<n>Two. "] * len(ids)
    )
    assert set(written(TASK, tokenizer)) == {"One.\nTwo."}


# ---------------------------------------------------------------- languages


class Languages:
    """A tokenizer that has to be told its languages, as M2M100's has."""

    src_lang = tgt_lang = None

    def __init__(self, own):
        self._own = own

    def __getattr__(self, name):
        return getattr(self._own, name)

    def __call__(self, *given, **options):
        assert self.src_lang == "en"
        return self._own(*given, **options)

    def get_lang_id(self, language):
        return {"en": 7, "fr": 8, "de": 9}[language]


def test_a_translation_begins_with_the_language_asked_for(calls):
    for language, token in (("fr", 8), ("de", 9)):
        tokenizer = Languages(mini.tokenizer("Bart"))
        texts = written(replace(TASK, languages=("en", language)), tokenizer)
        assert {text.split()[0] for text in texts} == {tokenizer.convert_ids_to_tokens(token)}
        assert tokenizer.tgt_lang == language


def test_a_tokenizer_that_knows_no_languages_is_told_none(calls):
    plain = written(TASK)
    assert written(replace(TASK, languages=("en", "fr"))) == plain
    set_languages(opened()[1], ("en", "fr"))
    assert not hasattr(opened()[1], "src_lang")


def test_m2m100s_own_tokenizer_is_told_both_languages(tmp_path):
    tokenizer = write_tokenizer("m2m_100", 64, tmp_path)
    sizes = architectures.SMALL | {"vocab_size": len(tokenizer), "pad_token_id": 1}
    config = transformers.M2M100Config(**sizes | architectures.BOTH | {"decoder_start_token_id": 2})
    torch.manual_seed(0)
    model, drawn = transformers.M2M100ForConditionalGeneration(config).eval(), []
    own = model.generate
    model.generate = lambda **options: drawn.append(own(**options)) or drawn[-1]
    written(replace(TASK, languages=("fr", "de")), tokenizer, model)
    assert tokenizer.src_lang == "fr"
    for ids in drawn:
        assert set(ids[:, 1].tolist()) == {tokenizer.get_lang_id("de")}


def test_targets_are_encoded_though_no_language_was_set(tmp_path):
    tokenizer = write_tokenizer("m2m_100", 64, tmp_path)
    labels = text_to_text_batch(tokenizer, ["The park."], ["The park."], 20)["labels"]
    assert labels[0, 0] == tokenizer.get_lang_id("en")
    set_languages(tokenizer, ("en", "fr"))
    labels = text_to_text_batch(tokenizer, ["The park."], ["Le parc."], 20)["labels"]
    assert labels[0, 0] == tokenizer.get_lang_id("fr")
