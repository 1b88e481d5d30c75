"""How much of its texts a model reads, wherever it is trained, calibrated or scored on them."""

import asyncio
import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import fake
import mini
import pytest
import torch
from test_recovery import KINDS, magnitude_masks, make

import studies
from analysis import data_calls, pipeline, pruning_calls, study, tasks, variants
from analysis.alternatives.student import distil, halved
from analysis.calibration.batches import calibration_batches
from analysis.data_calls import Data
from analysis.errors import RequestError
from analysis.grid import calibration_task
from analysis.memo import Memo
from analysis.models import recovery, training
from analysis.models.encoding import positions
from analysis.models.growing import grow_sparse
from analysis.models.recovery import Course
from analysis.scoring.predict import tokens_per_word

LONG = "the food was good " * 60  # more than the 96 positions of these models
EXAMPLES = {
    "classification": {"first": LONG, "second": LONG, "label": 1},
    "causal": {"text": LONG},
    "text-to-text": {"source": LONG, "target": LONG},
}


def course(kind, count=3, **changes):
    form = tasks.training_form(tasks.task(KINDS[kind][-1]))
    return Course(form, [EXAMPLES[form]] * count, 2, 1e-3, 1.0, 0, **{"max_tokens": 256} | changes)


# ---------------------------------------------------------------- positions


@pytest.mark.parametrize("kind", KINDS)
def test_pruned_models_are_trained_on_texts_longer_than_they_read(kind):
    model, words, _ = make(kind)
    masks = magnitude_masks(model)
    assert positions(model, words) == 96
    trained = recovery.fine_tune_masked(model, words, masks, course(kind))
    assert all(math.isfinite(loss) for loss in trained.losses)
    assert len(trained.losses) == course(kind).read_by(model, words).steps
    list(grow_sparse(model, words, list(masks), [0.5], course(kind)))
    student, teacher = halved(make("bert")[0]), make("bert")[0]
    distil(student, teacher, make("bert")[1], course("bert"))


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_is_cut_at_the_models_positions(kind):
    model, words, _ = make(kind)
    made = course(kind)
    for batch in calibration_batches(model, words, made.form, made.examples, 256):
        assert batch["input_ids"].shape[1] == 96
        with torch.no_grad():
            model(**batch)


@pytest.mark.parametrize("most", [8, 40, 256])
def test_an_epoch_of_a_causal_course_is_one_pass_over_its_windows(most, monkeypatch):
    model, words, _ = make("causal")
    seen = []
    batch_of = training.causal_batch_of

    def spy(tokenizer, chosen, max_tokens):
        seen.extend(row["ids"] for row in chosen)
        return batch_of(tokenizer, chosen, max_tokens)

    monkeypatch.setitem(training._FORMS, "causal", spy)
    asked = course("causal", max_tokens=most)
    trained = recovery.fine_tune_masked(model, words, magnitude_masks(model), asked)
    read = asked.read_by(model, words)
    assert sorted(seen) == sorted(example["ids"] for example in read.examples)
    assert max(map(len, seen)) == min(most, 96)
    assert (len(trained.zeros), len(trained.losses)) == (1, read.steps)
    assert read.read_by(model, words) == read  # windows are not cut again


def test_a_course_of_another_form_keeps_its_texts():
    model, words, _ = make("bert")
    read = course("bert").read_by(model, words)
    assert (read.examples, read.max_tokens) == (course("bert").examples, 96)


@pytest.mark.parametrize("tokens", [None, 40])
def test_texts_are_cut_in_every_training_where_fine_tuning_cuts_them(tmp_path, tokens):
    tuning = {"tokens": tokens} if tokens else {}
    asked = study.load(studies.to_file(tmp_path, studies.everything(fine_tuning=tuning)))
    dense = variants.dense_variant(
        asked, asked.models[0], "sentiment", 0, fake.checkpoint("encoder-only", "weights")
    )
    data = Data("sentiment", {}, None)
    how = pruning_calls.training(asked, dense, data, asked.recovery.training)
    assert how["max_tokens"] == (tokens or tasks.task("sentiment").max_tokens)


# ---------------------------------------------------------------- tokens a word


def test_tokens_are_counted_by_the_words_of_the_perplexity():
    words = mini.tokenizer("Bert")
    texts = [{"text": "the food was good", "words": 2}, {"text": "the food", "words": 1}]
    plain = replace(tasks.task("perplexity"), inputs=("text",), target=None)
    whole = sum(len(words(e["text"], add_special_tokens=False)["input_ids"]) for e in texts)
    assert tokens_per_word(words, plain, texts) == whole / 3
    bare = [{"text": example["text"]} for example in texts]
    assert tokens_per_word(words, plain, bare) == whole / 6
    letters = replace(plain, unit="character")
    assert tokens_per_word(words, letters, bare) == whole / sum(
        len(e["text"].replace(" ", "")) for e in bare
    )


# ---------------------------------------------------------------- what is calibrated on

GPT = {"name": "gpt", "family": "decoder-only", "source": "hub", "id": "org/gpt"}


def of_gpt(tasks_of_it, *methods, **changes):
    return (
        studies.tree(
            models=[GPT | {"tasks": tasks_of_it}], methods=["magnitude", *methods], examples={}
        )
        | changes
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["lambada", "wikitext2"], "wikitext2"),
        (["wikitext2", "lambada"], "wikitext2"),
        (["lambada", "language-modelling"], "language-modelling"),
        (["lambada"], None),
    ],
)
def test_a_base_checkpoint_is_calibrated_on_its_first_task_with_training_texts(
    tmp_path, asked, expected
):
    examples = {"language-modelling": 4} if "language-modelling" in asked else {}
    tree = of_gpt(asked, *(["wanda"] if expected else []), examples=examples)
    loaded = study.load(studies.to_file(tmp_path, tree))
    assert calibration_task(loaded, loaded.models[0]) == expected


@pytest.mark.parametrize("method", ["wanda", "structured", "nm-sparsegpt"])
def test_calibration_without_any_training_texts_is_refused(tmp_path, method):
    changes = {"patterns": ["2:4"]} if method.startswith("nm") else {}
    path = studies.to_file(tmp_path, of_gpt(["lambada"], method, **changes))
    studies.refused_saying(path, ["data.lambada.train", "is missing", method, "gpt"])


# ---------------------------------------------------------------- names


def test_allocated_variants_of_a_base_checkpoint_say_for_which_task():
    tiny = fake.load("tiny")
    gpt2 = tiny.models[1]
    record = fake.checkpoint(gpt2.family, "weights")
    base = variants.base_variant(tiny, gpt2, 0, record)
    level = {"level": 0.5, "sparsity": 0.5}
    one, other = (
        variants.allocated_variant(tiny, base, {}, level, task) for task in ("wikitext2", "lambada")
    )
    assert one.name == "tiny-gpt2/magnitude-layer/one-shot/0.5/allocated/wikitext2"
    assert one.name != other.name
    tuned = variants.dense_variant(tiny, gpt2, "sentiment", 0, record)
    made = variants.allocated_variant(tiny, tuned, {}, level, "sentiment")
    assert made.name == "tiny-gpt2/sentiment/magnitude-layer/one-shot/0.5/allocated"


# ---------------------------------------------------------------- test and training apart


@pytest.fixture
def files(tmp_path):
    """A test file, a copy of it, and other examples for training."""
    rows = [{"sentence": f"sentence {n}", "label": n % 2} for n in range(20)]
    lines = [json.dumps(row) + "\n" for row in rows]
    (tmp_path / "test.jsonl").write_text("".join(lines), encoding="utf-8")
    shutil.copy(tmp_path / "test.jsonl", tmp_path / "copy.jsonl")
    (tmp_path / "train.jsonl").write_text("".join(reversed(lines)), encoding="utf-8")
    return tmp_path


def data_of(folder, **named):
    own = {"name": "m", "family": "encoder-only", "source": "hub", "id": "o/m", "tasks": ["sst2"]}
    tree = studies.tree(
        models=[own | {"fine_tune": ["sst2"]}],
        examples={},
        data_folder=str(folder),
        data={"sst2": {"test": "test.jsonl"} | named},
    )
    memo = Memo(folder / "cache")
    memo.prepare()

    async def run(call):
        return memo.run(call).record

    loaded = study.load(studies.to_file(folder, tree))
    return asyncio.run(pipeline._data(loaded, SimpleNamespace(run=run), "sst2"))


@pytest.mark.parametrize(
    "parts", [{}, {"test_part": [0.5, 1.0]}, {"test_part": [0.4, 1.0], "train_part": [0.0, 0.5]}]
)
def test_a_copy_of_the_test_data_is_nothing_to_train_on(files, parts):
    with pytest.raises(RequestError, match=r"data\.sst2: test and train have the same") as caught:
        data_of(files, train="copy.jsonl", **parts)
    assert "copy.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "named",
    [
        {"train": "train.jsonl"},
        {"train": "copy.jsonl", "test_part": [0.5, 1.0], "train_part": [0.0, 0.5]},
        {"train": "test.jsonl", "test_part": [0.0, 0.2], "train_part": [0.2, 1.0]},
    ],
)
def test_other_data_and_other_parts_are(files, named):
    data = data_of(files, **named)
    assert data.training["examples"] >= 10
    assert data_calls.validation(data, 4).arguments["training"] is not None
