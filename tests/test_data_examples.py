"""Examples from rows: what is checked of them, and labels that are words."""

import pytest

from analysis import tasks
from analysis.data.examples import classes_of, examples_of, require_same_labels, words_of
from analysis.errors import RequestError

TEXTS, PAIRS = tasks.task("text-classification"), tasks.task("pair-classification")
SST2, WRITTEN = tasks.task("sst2"), tasks.task("mrpc-text")


def labelled(*labels):
    return [{"sentence": f"s{i}", "label": label} for i, label in enumerate(labels)]


def test_rows_become_examples_with_labels_that_are_whole_numbers_however_they_are_written():
    rows = [{"sentence": "x", "label": 1, "idx": 7}]
    assert examples_of(TEXTS, rows) == [{"sentence": "x", "label": 1}]
    written = [("1", "0", "2"), ("+1", "0.0", " 2e0 "), (True, False, 2)]
    for labels in [(1, 0, 2), (1.0, 0.0, 2.0), *written]:
        found = [example["label"] for example in examples_of(TEXTS, labelled(*labels))]
        assert [(type(label), label) for label in found] == [(int, 1), (int, 0), (int, 2)]


def test_labels_that_are_words_are_numbered_by_the_alphabet():
    assert classes_of(TEXTS, ("a", "A")) == {"A": 0, "a": 1}  # letters, and no word in two ways
    found = examples_of(TEXTS, labelled("sport", "arts", "sport", "news"))
    assert [example["label"] for example in found] == [2, 0, 2, 1]
    assert found[0] == {"sentence": "s0", "label": 2, "label_word": "sport"}


def test_a_number_among_words_is_one_word_however_it_is_written():
    found = examples_of(TEXTS, labelled("1", "1.0", "+1", " x ", "10", "x"))
    assert [example["label_word"] for example in found] == ["1", "1", "1", "x", "10", "x"]
    classes = classes_of(TEXTS, [str(n) for n in range(12)] + ["10.0", "1e1"])
    assert list(classes.values()) == list(range(12))


def test_words_of_the_test_have_to_be_known_in_training():
    training, fewer, more, numbers = (
        words_of(classes_of(TEXTS, labels))
        for labels in (("arts", " news", "sport"), ("sport", "arts "), ("arts", "x"), (0, "1"))
    )
    assert (numbers, words_of(classes_of(TEXTS, (True, False)))) == ({}, {"False": 0, "True": 1})
    for test in (training, fewer):
        require_same_labels(training, test)
    require_same_labels(numbers, numbers)
    for test in (more, numbers):
        with pytest.raises(RequestError, match="arts = 0, news = 1, sport = 2"):
            require_same_labels(training, test)


def pair(one, other, label=1):
    return [{"sentence1": one, "sentence2": other, "label": label}]


REFUSED = [
    (TEXTS, labelled(1, -1), "row 2: label is -1.*hidden test parts"),
    (TEXTS, labelled(1, None), "row 2: label is None"),
    (TEXTS, labelled("yes", ""), "row 2: label is ''"),
    *((TEXTS, labelled("0", score), f"row 2: label is '{score}'") for score in ("3.8", "1,0")),
    *((TEXTS, labelled("good", word), "row 2: .*is elsewhere written 'good'")
      for word in ("Good", "\u200bgood", "ｇood")),
    *((TEXTS, labelled(label, 1), f"row 1: label is {label!r}")
      for label in ("yes", 0.5, float("nan"), 2004, "1e99", 10**30)),
    (TEXTS, labelled("1" * 5000, "1"), "row 1: label is '1111"),
    (SST2, labelled("positive", "x"), r"words, such as 'positive'.*praises \(1\)"),
    (WRITTEN, pair("x", "y", 2), "label 2, but there are only 2"),
    (PAIRS, pair("x", None), "row 1: sentence2 is no text but None"),
    (PAIRS, [{"sentence1": "x", "label": 1}], "row 1: sentence2 is no text but None"),
    (PAIRS, pair(3, "y"), "row 1: sentence1 is no text but 3"),
    (PAIRS, pair("x", " \n"), "row 1: sentence2 is empty"),
    (tasks.task("translation"), [{"source": "x", "target": ""}], "row 1: target is empty"),
    (tasks.task("perplexity"), [{"text": "\n"}], "no examples"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "rows", "words"), REFUSED)
def test_labels_and_texts_that_are_none(task, rows, words):
    with pytest.raises(RequestError, match=words):
        examples_of(task, rows)
