"""Examples of a task from rows as they were read, each checked: a wrong row is found here, by its
number, and not as a wrong score."""

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from analysis.errors import RequestError
from analysis.tasks import Example, Row, Task
from analysis.tasks.scripts import unspaced_share

_MOST_LABELS = 1000  # more are no classes but numbers, such as years
_MOST_DIGITS = 18
_MOST_UNSPACED = 0.2  # of the letters
_LONGEST_WORD = 100  # letters
_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?([eE][+-]?[0-9]{1,2})?")
_MEASURED = re.compile(r"[+-]?[0-9]*[.,][0-9]+([eE][+-]?[0-9]+)?")  # a score, such as 3.8 or 3,8


def examples_of(
    task: Task,
    rows: Sequence[Row],
    classes: Mapping[str, int] | None = None,
    places: Sequence[str] | None = None,
) -> list[Example]:
    """The task's examples.

    Labels are whole numbers from 0. Where the data spell them as words, the example keeps its word
    as `label_word` (see `require_same_labels`).

    classes   of all rows, by `classes_of`, where these are some of them; by default their own
    places    where each row stands, for messages; by default its number

    Raises RequestError for a row that lacks a field, a text that is empty or none, and a label
    that is missing, as in the hidden test parts of benchmarks, or none.
    """
    texts = [field for field in task.row_fields if field != task.target or not is_label(task)]
    places = places or _numbered("row", len(rows))
    for place, row in zip(places, rows, strict=True):
        for field in texts:
            if not isinstance(row.get(field), str):
                raise _wrong(task, place, f"{field} is no text but {_short(row.get(field))}")
    if task.examples_of is None:
        found = [{field: row.get(field) for field in task.row_fields} for row in rows]
    else:
        found = task.examples_of(rows)
        if len(found) != len(rows):  # articles of many lines
            places = _numbered("example", len(found))
    if not found:
        raise RequestError(f"{task.title}: the data has no examples; give data that has some")
    if is_label(task):
        labels = [example.get(str(task.target)) for example in found]
        known = classes_of(task, labels, places) if classes is None else classes
        found = _with_labels(task, found, known, places)
    for place, example in zip(places, found, strict=True):
        for field in (
            *task.inputs,
            *(() if is_label(task) or not task.target else (task.target,)),
        ):
            if not str(example[field]).strip():
                raise _wrong(task, place, f"{field} is empty")
    return found


def classes_of(
    task: Task, labels: Sequence[Any], places: Sequence[str] | None = None
) -> Mapping[str, int]:
    """The name and the number of each class of these labels, which are those of all rows.

    Numbers are their own names; true and false are 1 and 0. Words have the numbers that the task
    gives them; where a task's labels have no meaning of their own, as in a user's own files, those
    of their alphabetical order. Raises RequestError for labels that are neither.
    """
    if all(isinstance(label, bool) for label in labels):
        return {str(label): int(label) for label in sorted(set(labels))}
    places = places or _numbered("row", len(labels))
    numbers = [_number(label) for label in labels]
    if any(number is None for number in numbers):
        return _words(task, labels, numbers, places)
    if task.label_words and max(number or 0 for number in numbers) >= len(task.label_words):
        raise RequestError(
            f"{task.title}: label {max(number or 0 for number in numbers)}, but there are only"
            f" {len(task.label_words)}: {', '.join(task.label_words)}"
        )
    for place, label, found in zip(places, labels, numbers, strict=True):
        if found is None or not 0 <= found < _MOST_LABELS:
            raise _no_label(task, place, label)
    return {str(number): number for number in sorted({number or 0 for number in numbers})}


def require_same_labels(training: Mapping[str, int], test: Mapping[str, int]) -> None:
    """Raise RequestError if the test's labels are words that training does not know, or words in
    one and numbers in the other. Each may lack some: a model keeps the names of its classes."""
    if bool(training) != bool(test) or not test.keys() <= training.keys():
        raise RequestError(
            f"labels are {_listed(training)} in the training data and {_listed(test)} in the test"
            " data; give both the same words, or numbers"
        )


def require_units(task: Task, examples: Sequence[Example]) -> None:
    """Raise RequestError if a perplexity per word is asked for of texts that do not put spaces
    between words: it would be that of whole sentences."""
    if task.target is not None or task.unit != "word" or "words" in examples[0]:
        return
    texts = [str(example[task.inputs[0]]) for example in examples]
    why = ""
    if (share := unspaced_share(texts)) >= _MOST_UNSPACED:
        why = f"{share:.0%} of the letters are of scripts that put no space between words"
    for row, text in enumerate(texts, 1):
        if not why and len(text.split()) == 1 and sum(map(str.isalpha, text)) > _LONGEST_WORD:
            why = f"text {row} is one word of {len(text):,} characters"
    if why:
        raise RequestError(
            f"{task.title}: {why}, and perplexity is per word; name what it is per, character or"
            " byte, as the data's `unit`"
        )


def words_of(classes: Mapping[str, int]) -> dict[str, int]:
    """The classes that the data spell as words; none if they are numbers."""
    return {} if all(name == str(n) for name, n in classes.items()) else dict(classes)


def is_label(task: Task) -> bool:
    """Whether an example's target is the number of a class."""
    return task.is_classification and task.target is not None


def _with_labels(
    task: Task, examples: Sequence[Example], classes: Mapping[str, int], places: Sequence[str]
) -> list[Example]:
    """The examples with whole numbers for labels."""
    target = str(task.target)
    labelled = []
    for place, example in zip(places, examples, strict=True):
        label = example.get(target)
        name = next((n for n in (_word(label), str(_number(label))) if n in classes), None)
        if name is None:
            raise _no_label(task, place, label)
        spelt = {} if name == str(classes[name]) else {"label_word": name}
        labelled.append(example | {target: classes[name]} | spelt)
    return labelled


def _number(label: Any) -> int | None:
    """A label as a whole number: 1, 1.0, true, "1", "+1" and "1e0" are the same."""
    if isinstance(label, str):
        label = Decimal(label) if _WHOLE.fullmatch(label := label.strip()) else None
    if isinstance(label, Decimal) and label.is_finite():
        # what has more digits is no class, nor can it be printed
        return int(label) if label.adjusted() < _MOST_DIGITS else _MOST_LABELS
    if isinstance(label, (bool, int)) or (isinstance(label, float) and label.is_integer()):
        return int(label)
    return None


def _word(label: Any) -> str:
    """A label as a word: the space around it is none of it."""
    if isinstance(label, bool):
        return str(label)
    return label.strip() if isinstance(label, str) else ""


def _words(
    task: Task, labels: Sequence[Any], numbers: Sequence[int | None], places: Sequence[str]
) -> dict[str, int]:
    """The numbers of labels that are words, among which a number however written is one word.

    Raises RequestError if they are not all words, or the task knows others, or two of them are one
    word that is written in two ways.
    """
    words = [
        word if number is None or not word else str(number)
        for word, number in zip(map(_word, labels), numbers, strict=True)
    ]
    # what is neither a word nor a number, else a word among numbers
    wrong = [row for row, word in enumerate(words) if not word and numbers[row] is None]
    wrong += [row for row, number in enumerate(numbers) if number is None and not all(words)]
    wrong += [row for row, word in enumerate(words) if _MEASURED.fullmatch(word)]
    if wrong:
        raise _no_label(task, places[wrong[0]], labels[wrong[0]])
    meant = task.classes or {word: number for number, word in enumerate(task.label_words)}
    known = {word.casefold(): number for word, number in meant.items()}
    if meant and all(word.casefold() in known for word in words):
        return {word: known[word.casefold()] for word in words}
    if meant or task.hub is not None:
        raise RequestError(
            f"{task.title}: labels are words, such as {_short(labels[0])}; this task's have a"
            f" meaning, so give the numbers{''.join(f', or {word}' for word in meant)}:"
            f" {task.measures}"
        )
    distinct = sorted(set(words))
    if len(distinct) >= _MOST_LABELS:
        raise RequestError(f"{task.title}: {len(distinct)} different labels; these are no classes")
    _require_told_apart(task, words, places)
    return {word: number for number, word in enumerate(distinct)}


def _require_told_apart(task: Task, words: Sequence[str], places: Sequence[str]) -> None:
    """Raise RequestError for a class whose name is written in two ways: "true" and "True", or with
    characters that nobody sees."""
    first: dict[str, str] = {}
    for place, word in zip(places, words, strict=True):
        other = first.setdefault(_as_seen(word), word)
        if other != word:
            raise _wrong(
                task,
                place,
                f"label {word!a} is elsewhere written {other!a}; write one class in one"
                " way, or call two classes by two names",
            )


@functools.cache
def _as_seen(word: str) -> str:
    """The word without what nobody sees, and its case: but "A" and "a" are two letters."""
    shown = (c for c in unicodedata.normalize("NFKC", word) if unicodedata.category(c) != "Cf")
    text = " ".join("".join(shown).split())
    return text if len(text) == 1 else text.casefold()


def _no_label(task: Task, place: str, label: Any) -> RequestError:
    return _wrong(
        task,
        place,
        f"{task.target} is {_short(label)}, and labels are numbers from 0; hidden test parts of"
        " benchmarks have none, choose a part with labels",
    )


def _wrong(task: Task, place: str, what: str) -> RequestError:
    return RequestError(f"{task.title}, {place}: {what}")


def _numbered(what: str, count: int) -> list[str]:
    return [f"{what} {number}" for number in range(1, count + 1)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _listed(words: Mapping[str, int]) -> str:
    found = [f"{word} = {number}" for word, number in sorted(words.items())]
    return ", ".join(found[:8]) or "numbers"
