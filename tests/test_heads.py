"""Answers of a classifier's head are held against the data's classes by name, or by number."""

import json
import re
from functools import partial
from types import SimpleNamespace

import mini
import pytest
import torch
from calibrations import refused
from random_models import random_model

import studies
from analysis import study
from analysis.data.examples import classes_of
from analysis.engine.memo import Memo
from analysis.errors import RequestError
from analysis.models.heads import NO_CLASS, as_outputs, classes_of_head
from analysis.planning.preflight import missing
from analysis.steps.examples.real import read_test
from analysis.steps.quality import evaluate_variant
from analysis.tasks import task
from analysis.training.course import Course
from analysis.training.tuning import tune

NLI = ("contradiction", "entailment", "neutral")  # by the alphabet
GENERIC = ("LABEL_0", "LABEL_1", "LABEL_2")
SENTIMENT = {"negative": 0, "positive": 1}
TEXTS = task("text-classification")
HEADS = [  # the head's names, the data's labels or classes, the number of each output
    (("entailment", "neutral", "contradiction"), NLI, [1, 2, 0]),
    (("Entailment ", "NEUTRAL", "contradiction"), NLI, [1, 2, 0]),
    (("a", "b", "c", "d"), ("c", "a"), [0, NO_CLASS, 1, NO_CLASS]),  # the data lack some
    (("A", "a"), ("a", "A"), [0, 1]),
    (("not_equivalent", "equivalent"), ("equivalent", "not equivalent"), [1, 0]),
    (GENERIC, NLI, [0, 1, 2]),
    (("0", "1", "2"), NLI, [0, 1, 2]),
    (("POSITIVE", "NEGATIVE"), SENTIMENT, [1, 0]),
    (("POS", "NEG"), SENTIMENT, [1, 0]),
    (("LABEL_0", "LABEL_1"), SENTIMENT, [0, 1]),
    (("LABEL_1", "LABEL_0"), SENTIMENT, [1, 0]),
    (("İYİ", "KÖTÜ", "ORTA"), ("iyi", "orta", "ko\u0308tü"), [0, 1, 2]),
    (("bad", "good"), SENTIMENT, [0, 1]),
    (GENERIC, (0, 2), [0, 1, 2]),
    (("1", "2", "3"), (1, 2, "3"), [1, 2, 3]),  # numbers are names
    (("good", "bad"), (1, 0, 0), [0, 1]),
    (("true", "false"), (True, False), [1, 0]),
    (("x", "y"), {}, [0, 1]),
]


def classes(given):
    return given if isinstance(given, dict) else classes_of(TEXTS, given)


def config(names, **more):
    named = dict(enumerate(names))
    given = {"num_labels": len(names), "id2label": named, "problem_type": None}
    return SimpleNamespace(**given | more)


def test_each_output_has_the_number_of_its_name_or_its_own():
    for names, given, numbers in HEADS:
        closed = given is SENTIMENT
        assert classes_of_head(config(names), classes(given), closed=closed) == numbers, names


REFUSED = [  # the head's names, the data's labels or classes, what the line names
    (GENERIC, (1, 2, 3), "1, 2, 3|LABEL_0 = 0"),
    (GENERIC, SENTIMENT, "negative = 0, positive = 1|has 3"),
    (("negative", "neutral", "positive"), SENTIMENT, "neutral = 1"),
    (GENERIC, ("arts", "news"), "arts = 0, news = 1|has 3"),  # which of three is not known
    (("POSITIVE", "NEGATIVE"), ("pos", "neg"), "neg = 0, pos = 1|POSITIVE = 0"),
    (("score",), (0, 1), "gives a number|0, 1"),
]


def test_a_head_for_other_classes_or_none_is_refused_naming_both():
    cases = [(config(names), given, says) for names, given, says in REFUSED]
    for problem in ("regression", "multi_label_classification"):
        cases.append((config(GENERIC, problem_type=problem), NLI, "fine_tune|neutral"))
    for head, given, says in cases:
        closed = {"closed": given is SENTIMENT}
        message = refused(RequestError, partial(classes_of_head, **closed), head, classes(given))
        assert all(part in message for part in (*says.split("|"), "fine_tune")), message


def test_a_head_learns_its_own_class_whatever_the_data_number_it():
    head = config(("entailment", "neutral", "contradiction"))
    known = classes(NLI)
    examples = [{"first": "x", "label": n, "label_word": word} for word, n in known.items()]
    assert [e["label"] for e in as_outputs(head, examples)] == [2, 0, 1]
    assert as_outputs(config(GENERIC), examples)[0] == {"first": "x", "label": 0}
    for names, given, numbers in HEADS:  # as it is read
        known = classes(given)
        rows = [{"label": n} | ({} if w == str(n) else {"label_word": w}) for w, n in known.items()]
        learnt = [e["label"] for e in as_outputs(config(names), rows)]
        assert [numbers[output] for output in learnt] == [*known.values()], names
    assert as_outputs(head, [{"first": "x", "label": 1}]) == [{"first": "x", "label": 1}]


def in_file(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = {"kind": "files", "format": None, "columns": {}, "part": None}
    found = {"source": found, "path": str(path), "stamp": [], "settings": {}}
    return found | {"task_name": "text-classification"}


def adopted(objects, *parts):
    with objects.scratch() as scratch:
        for part in parts:
            part.save_pretrained(scratch / "checkpoint")
        return objects.adopt(scratch / "checkpoint")


def accuracy(objects, checkpoint, record, **more):
    asked = {"checkpoint": checkpoint, "data": record["data"]["object"], "masks": None}
    asked |= {"task_name": "text-classification", "settings": record["settings"]}
    asked |= {"place": {"threads": 1, "device": "cpu"}}
    found = evaluate_variant(objects, **asked, batch_size=4, **more)
    return found["metrics"]["accuracy"]["value"]


def test_what_a_saved_model_has_no_head_for_is_known_before_a_run(tmp_path):
    stars = [{"sentence": "the film", "label": 1 + i % 5} for i in range(10)]
    in_file(tmp_path / "stars.jsonl", stars)
    for name, form, labels, asked, says in (
        ("Bert", "ForSequenceClassification", 3, "sst2", "negative = 0, positive = 1.*has 3"),
        ("Bert", "ForSequenceClassification", 3, "text-classification", "1, 2, 3, 4, 5.*has 3"),
        ("Bert", "ForSequenceClassification", 1, "sst2", "gives a number"),
        ("Bert", "ForSequenceClassification", 2, "sst2", None),
        ("Bert", None, None, "sst2", "BertForMaskedLM, without a head"),
        ("GPT2", None, None, "text-classification", "GPT2LMHeadModel, without a head"),
    ):
        folder = tmp_path / f"{name}{form}{labels}"
        made = random_model(name, form, **({"num_labels": labels} if labels else {}))
        made.save_pretrained(folder)
        family = {"Bert": "encoder-only", "GPT2": "decoder-only"}[name]
        model = {"name": "m", "family": family, "source": "local", "path": str(folder)}
        model |= {"tasks": [asked], "fine_tune": []}
        files = {asked: {"test": str(tmp_path / "stars.jsonl")}}
        chosen = study.load(studies.to_file(tmp_path, studies.of(model, data=files)))
        lines = missing(chosen, Memo(tmp_path / "cache"))
        assert len(lines) == (says is not None), lines
        for line in lines:
            assert re.match(f"m on {asked}: .*{says}.*fine_tune", line), line


@pytest.mark.usefixtures("one_thread")
def test_words_are_the_models_own_whichever_rows_are_drawn(objects, tmp_path):
    names = dict(enumerate(("entailment", "neutral", "contradiction")))
    model = random_model("Bert", "ForSequenceClassification", num_labels=3, id2label=names)
    tokenizer = mini.tokenizer("Bert")
    texts = [" ".join(tokenizer.convert_ids_to_tokens(range(5 + i, 8 + i))) for i in range(40)]
    with torch.inference_mode():
        said = [int(model(**tokenizer(t, return_tensors="pt")).logits.argmax()) for t in texts]
    assert len(set(said)) > 1
    rows = [{"sentence": t, "label": names[n]} for t, n in zip(texts, said, strict=True)]
    rows += [{"sentence": "the", "label": name} for name in names.values()]  # a draw lacks some
    source, checkpoint = in_file(tmp_path / "nli.jsonl", rows), adopted(objects, model, tokenizer)
    for count, least in ((None, 41 / 43), (9, 6 / 9)):
        record = read_test(objects, **source, count=count, seed=0)
        assert record["label_words"] == {"contradiction": 0, "entailment": 1, "neutral": 2}
        assert accuracy(objects, checkpoint, record) >= least
    stars = [row | {"label": 1 + i % 5} for i, row in enumerate(rows)]
    record = read_test(objects, **in_file(tmp_path / "stars.jsonl", stars), count=None, seed=0)
    with pytest.raises(RequestError, match=r"^m on stars.jsonl: .*1, 2, 3, 4, 5.*neutral = 1"):
        accuracy(objects, checkpoint, record, said="m on stars.jsonl")


def test_a_model_that_is_trained_keeps_the_words(tmp_path):
    for part in (random_model("Bert"), mini.tokenizer("Bert")):
        part.save_pretrained(tmp_path / "base")
    examples = [{"first": "the film", "label": label} for label in (0, 1, 2)]
    course = Course(form="classification", examples=examples, learning_rate=1e-3, batch_size=3,
                    seed=0, max_tokens=8)  # fmt: skip
    words = {"no": 0, "maybe": 1, "yes": 2}
    tune(tmp_path / "base", course, labels=3, label_words=words, out=tmp_path / "new")
    told = json.loads((tmp_path / "new" / "config.json").read_text())
    assert told["id2label"] == {"0": "no", "1": "maybe", "2": "yes"}
