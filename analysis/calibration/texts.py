"""Calibration texts: training examples of a task, or the lines of a file."""

import json
import random
from pathlib import Path
from typing import Any

from analysis import tasks
from analysis.errors import RequestError, unknown
from analysis.tasks import Task

Example = dict[str, Any]
_OF_FORM = {"classification": ("first",), "causal": ("text",), "text-to-text": ("source", "target")}


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


def of_task(task: str, count: int, seed: int) -> tuple[str, list[Example]]:
    """The form of the task and `count` of its training examples: of the generated language, or of
    its data set on the hub.

    Raises RequestError if there is no such task, RunError if its data cannot be had.
    """
    if task not in tasks_with_texts():
        raise RequestError(unknown("calibration task", task, tasks_with_texts()))
    described = tasks.task(task)
    if described.train is not None:
        examples = described.train(count, seed)
    else:
        examples = _of_hub(described, count, seed)
    form = tasks.training_form(described)
    return form, [tasks.training_example(described, example) for example in examples]


def tasks_with_texts() -> list[str]:
    """The tasks that have training examples without files of a user's own."""
    known = {name: tasks.task(name) for name in tasks.names()}
    return [n for n, task in known.items() if task.train or (task.hub and task.hub.train)]


def _of_hub(task: Task, count: int, seed: int) -> list[Example]:
    from analysis.data.examples import examples_of as read_as
    from analysis.data.reading import read

    assert task.hub is not None
    source = task.hub.source(task.hub.train or task.hub.split)
    found = read_as(task, read(source, task.row_fields)[0])
    return random.Random(seed).sample(found, min(count, len(found)))


def of_file(path: Path, family: str, count: int) -> tuple[str, list[Example]]:
    """The first `count` texts of a file, in the form that a model of that family reads.

    A text file has a text in each line; a .jsonl file an object in each line, with "text", or
    "first" and "second", or "source" and "target". Raises RequestError, with the line, if it cannot
    be read.
    """
    try:
        # by new lines only: a text may hold the other characters that `splitlines` splits at
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot read the calibration texts in {path}: {error}") from error
    examples: list[Example] = []
    for i, line in enumerate(lines, start=1):
        if line.strip() and len(examples) < count:
            examples.append(_parsed(path, i, line) if path.suffix == ".jsonl" else {"text": line})
    if not examples:
        raise RequestError(f"{path} holds no calibration texts; write one in each line")
    if not all("second" in example for example in examples):  # a batch is of pairs, or of texts
        for example in examples:
            example.pop("second", None)
    form = {"encoder-only": "classification", "decoder-only": "causal"}.get(family, "text-to-text")
    return form, [_in_form(example, form) for example in examples]


def _parsed(path: Path, number: int, line: str) -> Example:
    try:
        example = json.loads(line)
        if not isinstance(example, dict) or not any(map(example.get, ("text", "first", "source"))):
            raise ValueError("no object with text, first or source")
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise RequestError(
            f'{path}, line {number}: {reason}; write objects such as {{"text": "…"}}'
        ) from error
    return {key: str(value) for key, value in example.items() if value is not None}


def _in_form(example: Example, form: str) -> Example:
    """The example with the fields of the form; a text alone stands for each of them."""
    text = next(str(example[key]) for key in ("text", "first", "source") if key in example)
    fields = {key: str(example.get(key, text)) for key in _OF_FORM[form]}
    return fields | ({"second": example["second"]} if "second" in example else {})
