"""Examples from rows: what is checked of them, and labels that are words."""

import pytest

from analysis import tasks
from analysis.data.examples import examples_of, label_words, require_same_labels
from analysis.errors import RequestError

TEXTS, PAIRS = tasks.task("text-classification"), tasks.task("pair-classification")
SST2, WRITTEN = tasks.task("sst2"), tasks.task("mrpc-text")


def labelled(*labels):
    return [{"sentence": f"s{i}", "label": label} for i, label in enumerate(labels)]


def test_rows_become_examples_of_the_tasks_fields_alone():
    rows = [{"sentence": "x", "label": 1, "idx": 7}]
    assert examples_of(TEXTS, rows) == [{"sentence": "x", "label": 1}]


@pytest.mark.parametrize("labels", [(1, 0, 2), (1.0, 0.0, 2.0), ("1", "0", "2"), (True, False, 2)])
def test_labels_are_whole_numbers_however_they_are_written(labels):
    found = [example["label"] for example in examples_of(TEXTS, labelled(*labels))]
    assert found == [1, 0, 2]
    assert all(type(label) is int for label in found)


def test_labels_that_are_words_are_numbered_by_the_alphabet():
    found = examples_of(TEXTS, labelled("sport", "arts", "sport", "news"))
    assert [example["label"] for example in found] == [2, 0, 2, 1]
    assert found[0] == {"sentence": "s0", "label": 2, "label_word": "sport"}


def test_words_have_to_mean_the_same_in_training_and_test():
    training = examples_of(TEXTS, labelled("arts", "news", "sport"))
    same, fewer = (examples_of(TEXTS, labelled(*w)) for w in (("arts", "news"), ("news", "sport")))
    numbers = examples_of(TEXTS, labelled(0, 1))
    require_same_labels(label_words(training), label_words(same))
    require_same_labels(label_words(numbers), label_words(numbers))
    for test in (fewer, numbers):
        with pytest.raises(RequestError, match="arts = 0, news = 1, sport = 2"):
            require_same_labels(label_words(training), label_words(test))


@pytest.mark.parametrize(
    ("task", "labels", "words"),
    [
        (TEXTS, (1, -1), "row 2: label is -1.*hidden test parts"),
        (TEXTS, (1, None), "row 2: label is None"),
        (TEXTS, ("yes", ""), "row 1: label is 'yes'"),
        (TEXTS, ("yes", 1), "row 1: label is 'yes'"),
        (TEXTS, (0.5, 1), "row 1: label is 0.5"),
        (TEXTS, (float("nan"), 1), "row 1: label is nan"),
        (TEXTS, (2004, 1), "row 1: label is 2004"),
        (SST2, ("positive", "negative"), r"words, such as 'positive'.*praises \(1\)"),
    ],
)
def test_labels_that_are_none(task, labels, words):
    with pytest.raises(RequestError, match=words):
        examples_of(task, labelled(*labels))


def test_a_label_beyond_the_words_for_it():
    pair = {"sentence1": "x", "sentence2": "y"}
    with pytest.raises(RequestError, match="label 2, but there are only 2"):
        examples_of(WRITTEN, [pair | {"label": 2}])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"sentence1": "x", "sentence2": None, "label": 1}, "row 1: sentence2 is no text but None"),
        ({"sentence1": "x", "label": 1}, "row 1: sentence2 is no text but None"),
        ({"sentence1": 3, "sentence2": "y", "label": 1}, "row 1: sentence1 is no text but 3"),
        ({"sentence1": "x", "sentence2": " \n", "label": 1}, "row 1: sentence2 is empty"),
    ],
)
def test_texts_that_are_none(row, words):
    with pytest.raises(RequestError, match=words):
        examples_of(PAIRS, [row])


def test_an_empty_target_and_no_rows():
    with pytest.raises(RequestError, match="row 1: target is empty"):
        examples_of(tasks.task("translation"), [{"source": "x", "target": ""}])
    with pytest.raises(RequestError, match="no examples"):
        examples_of(tasks.task("perplexity"), [{"text": "\n"}])
