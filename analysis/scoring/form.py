"""What a form of task has to say for itself, so that `predict` can batch and answer it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from analysis.errors import RequestError
from analysis.models.encoding import Batch, Row
from analysis.tasks import Example, Task

_SHOWN = 300  # characters of what a model's code says


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


@contextlib.contextmanager
def asking(model: Any) -> Iterator[None]:
    """Inside the model's own code is at work. What fails there fails in plain transformers too:
    a RequestError that says so, and what it was. That memory is short is no such failure."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:_SHOWN]
        raise RequestError(
            f"{type(model).__name__} cannot answer, by its own code: {type(error).__name__}"
            f"{': ' if said else ''}{said}; mend its config.json or generation_config.json, or"
            " give examples that plain transformers answers"
        ) from error
