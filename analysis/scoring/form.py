"""What a form of task has to say for itself, so that `predict` can batch and answer it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.models.encoding import Batch, Row
from analysis.tasks import Example, Task


@dataclass(frozen=True)
class Read:
    """A task's examples as a model reads them.

    rows    what is read, in no order; equal examples may share a row
    owners  for each row, which answer it is a part of
    places  for each example, which answer is its own
    """

    rows: Sequence[Row]
    owners: Sequence[int]
    places: Sequence[int]


@dataclass(frozen=True)
class Form:
    """One form of task.

    read      (model, tokenizer, task, examples) -> what the model reads of them
    answers   (model, tokenizer, task, batch) -> for each row, its answer, or its part of one
    whole     an answer from its parts, in the order of their rows
    protocol  (model, tokenizer, task) -> how a model is asked, in a few words for a table
    """

    read: Callable[[Any, Any, Task, Sequence[Example]], Read]
    answers: Callable[[Any, Any, Task, Batch], list[Any]]
    whole: Callable[[list[Any]], Any]
    protocol: Callable[[Any, Any, Task], str]


def only(parts: list[Any]) -> Any:
    """The answer that has one part."""
    (part,) = parts
    return part


def each_once(texts: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The distinct of these texts, and for each text which of them it is."""
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return list(number), [number[text] for text in texts]
