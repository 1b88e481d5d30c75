"""Calibration texts of tasks and files, and the checkpoints that they are run through."""

import functools
import json

import architectures
import calibrations
import mini
import numpy as np
import pytest
import torch

from analysis import language, tasks
from analysis.calibration import loaded
from analysis.calibration.loaded import calibration_of
from analysis.calibration.moments import moments_of
from analysis.calibration.texts import of_file, of_task, tasks_with_texts
from analysis.errors import RequestError
from analysis.models import naming
from analysis.pruning.calibrated import Calibration
from analysis.pruning.structured import projections

FAMILIES = {
    "encoder-only": ("classification", ["first"]),
    "decoder-only": ("causal", ["text"]),
    "encoder-decoder": ("text-to-text", ["source", "target"]),
}
OF_TASKS = {  # of the generated language: the form, and its own examples as models read them
    "sentiment": (
        "classification",
        language.sentiment,
        {"first": "sentence", "label": "label"},
    ),
    "paraphrase": (
        "classification",
        language.paraphrase,
        {"first": "sentence1", "second": "sentence2", "label": "label"},
    ),
    "headline": ("text-to-text", language.headline, {"source": "document", "target": "summary"}),
    "language-modelling": ("causal", None, {}),
}
every_family = pytest.mark.parametrize("family", FAMILIES)


def written(tmp_path, text, name="texts.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def lines(tmp_path, *objects):
    text = "\n".join(json.dumps(o, ensure_ascii=False) for o in objects)
    return written(tmp_path, text, "texts.jsonl")


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize("task", OF_TASKS)
def test_a_tasks_texts_are_its_training_examples(task):
    form, examples = of_task(task, 7, 3)
    expected, make, names = OF_TASKS[task]
    assert form == expected
    if make is None:
        assert examples == [{"text": text} for text in language.paragraphs(7, 3)]
    else:
        own = make(7, 3, split="train")
        assert examples == [{name: e[field] for name, field in names.items()} for e in own]
    assert len(examples) == 7
    assert of_task(task, 7, 4)[1] != examples


def test_tasks_with_texts_are_those_that_are_generated_or_have_a_training_part_on_the_hub():
    found = tasks_with_texts()
    assert {name for name in found if tasks.task(name).hub is None} == set(OF_TASKS)
    for name in set(tasks.names()) - set(found):
        assert tasks.task(name).hub is None or tasks.task(name).hub.train is None
        with pytest.raises(RequestError, match=f"unknown calibration task '{name}'"):
            of_task(name, 1, 0)
    assert "sst2" in found


def test_a_task_misspelt_is_named_with_the_nearest():
    with pytest.raises(RequestError, match="Did you mean 'headline'"):
        of_task("headlines", 1, 0)


# ---------------------------------------------------------------- files


@every_family
def test_a_line_is_a_text_in_the_form_of_the_family(tmp_path, family):
    path = written(tmp_path, "one two\n\n  \nthree\n")
    form, examples = of_file(path, family, 10)
    expected, fields = FAMILIES[family]
    assert form == expected
    assert examples == [dict.fromkeys(fields, text) for text in ("one two", "three")]


def test_only_as_many_texts_as_wanted_are_taken(tmp_path):
    path = written(tmp_path, "".join(f"text {i}\n" for i in range(9)))
    _, examples = of_file(path, "decoder-only", 3)
    assert [example["text"] for example in examples] == ["text 0", "text 1", "text 2"]


@pytest.mark.parametrize(
    ("family", "given", "expected"),
    [
        ("encoder-only", {"text": "t"}, {"first": "t"}),
        ("encoder-only", {"first": "a", "second": "b"}, {"first": "a", "second": "b"}),
        ("encoder-only", {"source": "s", "target": "t"}, {"first": "s"}),
        ("decoder-only", {"text": "t", "label": 1}, {"text": "t"}),
        ("decoder-only", {"first": "a"}, {"text": "a"}),
        ("encoder-decoder", {"source": "s", "target": "t"}, {"source": "s", "target": "t"}),
        ("encoder-decoder", {"text": "t"}, {"source": "t", "target": "t"}),
        ("encoder-decoder", {"source": "s"}, {"source": "s", "target": "s"}),
    ],
)
def test_an_object_is_put_in_the_form_of_the_family(tmp_path, family, given, expected):
    assert of_file(lines(tmp_path, given, given), family, 5)[1] == [expected] * 2


def test_pairs_beside_single_texts_are_taken_as_texts(tmp_path):
    path = lines(tmp_path, {"first": "a", "second": "b"}, {"first": "c"})
    assert of_file(path, "encoder-only", 5)[1] == [{"first": "a"}, {"first": "c"}]


@pytest.mark.parametrize("between", ["\u2028", "\x0b", "\x0c", "\x85"])
def test_only_a_new_line_ends_a_text(tmp_path, between):
    """JSON may hold U+2028 and the like as they are, and so may a text."""
    text = f"one{between}two"
    assert of_file(lines(tmp_path, {"text": text}), "decoder-only", 5)[1] == [{"text": text}]
    assert of_file(written(tmp_path, text), "decoder-only", 5)[1] == [{"text": text}]


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path):
    path = written(tmp_path, '\ufeff{"text": "one"}\r\n{"text": "two"}\r\n', "texts.jsonl")
    assert of_file(path, "decoder-only", 5)[1] == [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "a"}\n\n{"text": \n', "line 3: Expecting value; write objects"),
        ('{"text": "a"}\n["b"]\n', "line 2: no object with text, first or source"),
        ('{"label": 1}\n', "line 1: no object with text, first or source"),
        ("plain text\n", "line 1: Expecting value"),
        ("", "holds no calibration texts"),
        ("\n \n\t\n", "holds no calibration texts"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_where(tmp_path, text, said):
    path = written(tmp_path, text, "texts.jsonl")
    with pytest.raises(RequestError) as caught:
        of_file(path, "encoder-only", 5)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("none.txt", "bytes.txt", ""):
        with pytest.raises(RequestError, match="cannot read the calibration texts in"):
            of_file(tmp_path / name, "encoder-only", 5)


# ---------------------------------------------------------------- checkpoints


@functools.cache
def tokenizer(architecture):
    return mini.tokenizer(architecture)


def saved(architecture, folder, dtype=torch.float32):
    calibrations.model(architecture).to(dtype).save_pretrained(folder)
    tokenizer(architecture).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Bart", "T5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_is_its_own_class_in_single_precision_and_runs(tmp_path, architecture, dtype):
    folder = saved(architecture, tmp_path / "model", dtype)
    path = written(tmp_path, "the food was good\nthe room was not\n")
    family = naming.family(naming.weights(calibrations.model(architecture).state_dict()).values())
    calibration = calibration_of(folder, family, str(path), 0)
    of = calibration.load()
    assert type(of).__name__ == architectures.ARCHITECTURES[architecture][0]
    assert of.dtype == torch.float32
    assert not of.training
    (batch,) = calibration.batches(of)
    assert len(batch["input_ids"]) == 2
    assert of(**batch).logits.isfinite().all()


def test_texts_are_cut_to_the_models_positions(tmp_path):
    folder = saved("Bert", tmp_path / "model")
    path = written(tmp_path, "the food was good " * 20)
    calibration = calibration_of(folder, "encoder-only", str(path), 0)
    of = calibration.load()
    (batch,) = calibration.batches(of)
    assert batch["input_ids"].shape == (1, of.config.max_position_embeddings)


def test_a_tasks_texts_go_by_the_seed(tmp_path):
    folder = saved("Bert", tmp_path / "model")

    def ids(seed):
        calibration = calibration_of(folder, "encoder-only", "sentiment", seed)
        return [batch["input_ids"].tolist() for batch in calibration.batches(calibration.load())]

    assert ids(1) == ids(1) != ids(2)
    assert sum(len(rows) for rows in ids(1)) == loaded.EXAMPLES


def test_a_file_called_as_a_task_is_read(tmp_path, monkeypatch):
    folder = saved("Bert", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "the food was good", "sentiment")
    calibration = calibration_of(folder, "encoder-only", "sentiment", 0)
    assert [len(b["input_ids"]) for b in calibration.batches(calibration.load())] == [1]


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Bart", "T5", "DebertaV2", "Llama"])
def test_a_tokenizer_that_knows_no_words_is_refused(tmp_path, architecture):
    """Without a tokenizer's files, transformers makes one up from the configuration alone."""
    calibrations.model(architecture).save_pretrained(tmp_path / "model")
    with pytest.raises(RequestError, match="tokenizer") as caught:
        calibration_of(tmp_path / "model", "encoder-only", "sentiment", 0)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- moments


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Bart", "T5"])
def test_moments_are_the_means_and_variances_of_a_plain_forward_pass(architecture):
    of = calibrations.model(architecture)
    run_on = calibrations.batches(of)
    names = projections(naming.weights(name for name, _ in of.named_parameters()))
    given = moments_of(Calibration(load=lambda: of, batches=lambda _: run_on), names)
    expected = calibrations.plain_inputs(of, run_on, names)
    assert sorted(given) == names
    for name in names:
        x = expected[name].x
        np.testing.assert_allclose(given[name].mean, x.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(given[name].variance, x.var(0), rtol=1e-4, atol=1e-9)
