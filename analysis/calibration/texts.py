"""Calibration texts: training examples of a task, or the lines of a file."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import tasks
from analysis.errors import RequestError, unknown
from analysis.tasks import Task

Example = dict[str, Any]
Examples = Callable[[int], Sequence[Example]]

_OF_FORM = {"classification": ("first",), "text-to-text": ("source", "target")}
# the forms in which a model of each family reads; texts of any other become examples of the first
_READ = {
    "encoder-only": ("classification", "masked"),
    "decoder-only": ("causal",),
    "encoder-decoder": ("text-to-text", "classification"),
}


@dataclass(frozen=True)
class Texts:
    """What a model is calibrated on, and how much of it.

    form       of the examples, which are those of training (`models.training.fine_tune`)
    examples   so many of them, the same each time; fewer where there are no more
    count      how many the model reads: windows where they are packed, else texts
    tokens     of a window; longer texts are cut there. A model with fewer positions gets as many
    seed       draws the windows, where there are more than `count`
    """

    form: str
    examples: Examples
    count: int
    tokens: int
    seed: int

    @property
    def packed(self) -> bool:
        """Whether texts are joined and cut into full windows: those of causal models are."""
        return self.form in ("causal", "cloze")


def form_of(family: str, of_task: str = "", *, classifies: bool = False) -> str:
    """The form in which a model of that family reads texts, or examples of a task of that form.

    `classifies` says that the model has a classifier's head: it reads text by text.
    """
    if classifies:
        return "classification"
    allowed = _READ.get(family, _READ["encoder-decoder"])
    return of_task if of_task in allowed else allowed[0]


def require(texts: str) -> None:
    """Raise RequestError, before anything is downloaded, if that is neither a task nor a file."""
    path = Path(texts)
    if texts in tasks_with_texts() or path.is_file():
        return
    if path.suffix or len(path.parts) > 1:
        raise RequestError(
            f"cannot read the calibration texts in {path}: No such file; give a file with a text in"
            " each line, or a task"
        )
    raise RequestError(
        f"{unknown('calibration task', texts, tasks_with_texts())} Nor is there such a file."
    )


def of_task(task: str, seed: int) -> tuple[str, Examples]:
    """The form of the task and its training examples: of the generated language, or drawn from
    its data set on the hub.

    Raises RequestError if there is no such task, RunError if its data cannot be had.
    """
    if task not in tasks_with_texts():
        raise RequestError(unknown("calibration task", task, tasks_with_texts()))
    described = tasks.task(task)
    make = described.train
    own = (lambda count: make(count, seed)) if make is not None else _of_hub(described, seed)

    def examples(count: int) -> Sequence[Example]:
        return [tasks.training_example(described, example) for example in own(count)]

    return tasks.training_form(described), examples


def tasks_with_texts() -> list[str]:
    """The tasks that have training examples without files of a user's own."""
    known = {name: tasks.task(name) for name in tasks.names()}
    return [n for n, task in known.items() if task.train or (task.hub and task.hub.train)]


def _of_hub(task: Task, seed: int) -> Examples:
    from analysis.data.examples import examples_of as read_as
    from analysis.data.reading import read

    assert task.hub is not None
    source = task.hub.source(task.hub.train or task.hub.split)
    table = read(source, task.row_fields)
    found = read_as(task, table.rows, places=table.places)
    return lambda count: random.Random(seed).sample(found, min(count, len(found)))


def of_file(path: Path, form: str) -> Examples:
    """The first texts of a file, in that form.

    A text file has a text in each line; a .jsonl file an object in each line, with "text", or
    "first" and "second", or "source" and "target". Raises RequestError, with the line, if it cannot
    be read or holds none; of a line that is no object once it is asked for.
    """
    try:
        # by new lines only: a text may hold the other characters that `splitlines` splits at
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RequestError(
            f"cannot read the calibration texts in {path}, line {line}: this is not UTF-8 text;"
            " convert the file"
        ) from error
    except OSError as error:
        raise RequestError(
            f"cannot read the calibration texts in {path}: {error.strerror or error}"
        ) from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise RequestError(f"{path} holds no calibration texts; write one in each line")

    def examples(count: int) -> Sequence[Example]:
        found = [
            _parsed(path, number, line) if path.suffix == ".jsonl" else {"text": line}
            for number, line in numbered[:count]
        ]
        if not all("second" in example for example in found):  # a batch is of pairs, or of texts
            for example in found:
                example.pop("second", None)
        return [in_form(example, form) for example in found]

    return examples


def _parsed(path: Path, number: int, line: str) -> Example:
    try:
        example = json.loads(line)
        if not isinstance(example, dict) or not any(map(example.get, ("text", "first", "source"))):
            raise ValueError("no object with text, first or source")
        texts = {key: str(value) for key, value in example.items() if value is not None}
        "".join(texts.values()).encode()  # half a character is none
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise RequestError(
            f'{path}, line {number}: {reason}; write objects such as {{"text": "…"}}'
        ) from error
    return texts


def in_form(example: Example, form: str) -> Example:
    """The example with the fields of the form; a text alone stands for each of them."""
    text = next(str(example[key]) for key in ("text", "first", "source") if key in example)
    second = example.get("second")
    if form == "causal":  # pairs as classifiers that know none read them
        return {"text": text if second is None else f"{text}\n{second}"}
    fields = {key: str(example.get(key, text)) for key in _OF_FORM[form]}
    return fields | ({} if second is None or form != "classification" else {"second": second})
