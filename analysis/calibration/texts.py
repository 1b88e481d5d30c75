"""Calibration texts: training examples of a built-in task, or the lines of a file."""

import json
from pathlib import Path
from typing import Any

from analysis.errors import RequestError, unknown
from analysis.models.objectives import TASKS

Example = dict[str, Any]
_OF_FORM = {"classification": ("first",), "causal": ("text",), "text-to-text": ("source", "target")}


def require(texts: str) -> None:
    """Raise RequestError, before anything is downloaded, if that is neither a task nor a file."""
    path = Path(texts)
    if texts in TASKS or path.is_file():
        return
    if path.suffix or len(path.parts) > 1:
        raise RequestError(
            f"cannot read the calibration texts in {path}: No such file; give a file with a text in"
            " each line, or a task"
        )
    raise RequestError(f"{unknown('calibration task', texts, TASKS)} Nor is there such a file.")


def of_task(task: str, count: int, seed: int) -> tuple[str, list[Example]]:
    """The form of the task and `count` of its training examples.

    Raises RequestError if no such task is built in.
    """
    if task not in TASKS:
        raise RequestError(unknown("calibration task", task, TASKS))
    form, make = TASKS[task]
    return form, make(count, seed)


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
