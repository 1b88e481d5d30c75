"""Examples of a task from rows as they were read, each checked: a wrong row is found here, by its
number, and not as a wrong score."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.errors import RequestError
from analysis.tasks import Example, Row, Task

_MOST_LABELS = 1000  # more are no classes but numbers, such as years


def examples_of(task: Task, rows: Sequence[Row]) -> list[Example]:
    """The task's examples.

    Labels are whole numbers from 0. Where a task's labels have no meaning of their own, as in a
    user's own files, they may be words: these get the numbers of their alphabetical order, and the
    example keeps its word as `label_word` (see `require_same_labels`).

    Raises RequestError for a row that lacks a field, a text that is empty or none, and a label
    that is missing, as in the hidden test parts of benchmarks, or none.
    """
    texts = [field for field in task.row_fields if field != task.target or not _is_label(task)]
    for number, row in enumerate(rows, 1):
        for field in texts:
            if not isinstance(row.get(field), str):
                raise _wrong(task, number, f"{field} is no text but {_short(row.get(field))}")
    if task.examples_of is None:
        found = [{field: row.get(field) for field in task.row_fields} for row in rows]
    else:
        found = task.examples_of(rows)
    if not found:
        raise RequestError(f"{task.title}: the data has no examples; give data that has some")
    if _is_label(task):
        found = _with_labels(task, found)
    for number, example in enumerate(found, 1):
        for field in (
            *task.inputs,
            *(() if _is_label(task) or not task.target else (task.target,)),
        ):
            if not str(example[field]).strip():
                raise _wrong(task, number, f"{field} is empty")
    return found


def label_words(examples: Sequence[Example]) -> dict[str, int]:
    """The number that each label has which the data spell as a word; none if they are numbers."""
    return {e["label_word"]: e["label"] for e in examples if "label_word" in e}


def require_same_labels(training: Mapping[str, int], test: Mapping[str, int]) -> None:
    """Raise RequestError if words as labels got other numbers in training than in the test."""
    same = all(training.get(word) == number for word, number in test.items())
    if bool(training) != bool(test) or not same:
        raise RequestError(
            f"labels are {_listed(training)} in the training data and {_listed(test)} in the test"
            " data; give both the same words, or numbers"
        )


def _is_label(task: Task) -> bool:
    return task.is_classification and task.target is not None


def _with_labels(task: Task, examples: Sequence[Example]) -> list[Example]:
    """The examples with whole numbers for labels."""
    target = str(task.target)
    numbers = [_number(example.get(target)) for example in examples]
    words: Mapping[str, int] = {}
    if any(label is None for label in numbers):
        words = _words(task, [example.get(target) for example in examples])
    elif task.label_words and max(label or 0 for label in numbers) >= len(task.label_words):
        raise RequestError(
            f"{task.title}: label {max(label or 0 for label in numbers)}, but there are only"
            f" {len(task.label_words)}: {', '.join(task.label_words)}"
        )
    labelled = []
    for number, (example, label) in enumerate(zip(examples, numbers, strict=True), 1):
        if words:
            word = str(example[target])
            labelled.append(example | {target: words[word], "label_word": word})
            continue
        if label is None or not 0 <= label < _MOST_LABELS:
            raise _wrong(
                task,
                number,
                f"{target} is {_short(example.get(target))}, and labels are numbers from 0; hidden"
                " test parts of benchmarks have none, choose a part with labels",
            )
        labelled.append(example | {target: label})
    return labelled


def _number(label: Any) -> int | None:
    """A label as a whole number: 1, 1.0, true and "1" are the same."""
    if isinstance(label, str):
        return int(label) if label.strip().lstrip("-").isdecimal() else None
    if isinstance(label, (bool, int)) or (isinstance(label, float) and label.is_integer()):
        return int(label)
    return None


def _words(task: Task, labels: Sequence[Any]) -> Mapping[str, int]:
    """The numbers of labels that are words; none if they are not all words."""
    if not all(isinstance(label, str) and label.strip() for label in labels):
        return {}
    if task.hub is not None or task.label_words:
        raise RequestError(
            f"{task.title}: labels are words, such as {_short(labels[0])}; this task's have a"
            f" meaning, so give the numbers: {task.measures}"
        )
    distinct = sorted(set(labels))
    if len(distinct) >= _MOST_LABELS:
        raise RequestError(f"{task.title}: {len(distinct)} different labels; these are no classes")
    return {word: number for number, word in enumerate(distinct)}


def _wrong(task: Task, number: int, what: str) -> RequestError:
    return RequestError(f"{task.title}, row {number}: {what}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _listed(words: Mapping[str, int]) -> str:
    found = [f"{word} = {number}" for word, number in sorted(words.items())]
    return ", ".join(found[:8]) or "numbers"
