"""A real task's examples, read from the hub or from files: those of the test, those of training."""

import functools
import json
from collections.abc import Sequence
from typing import Any

from analysis import tasks
from analysis.data.examples import examples_of, label_words
from analysis.data.reading import read
from analysis.objects import Objects
from analysis.steps.examples import described_examples
from analysis.steps.stored_examples import drawn, drawn_places
from analysis.tasks import Example, Task
from analysis.tasks.stand_ins import stand_ins


def read_test(
    objects: Objects,
    *,
    task_name: str,
    source: dict[str, Any],
    path: str,
    stamp: list[Any],
    count: int | None,
    seed: int,
) -> dict[str, Any]:
    """Record, as of `make_examples`, of the test examples: all, or `count` drawn with the seed.

    `source` and the `path` of its data are as `analysis.data.reading.read` takes them, and `stamp`
    is the key's. The record also has the revision of the data, a commit of the hub or the beginning
    of the file's digest, and the numbers of its labels if those are words.
    """
    described = tasks.task(task_name)
    found, revision = _read(described, source | {"path": path}, count, seed)
    return described_examples(objects, described, found) | {
        "revision": revision,
        "label_words": label_words(found),
    }


def read_training(
    objects: Objects,
    *,
    task_name: str,
    source: dict[str, Any],
    path: str,
    stamp: list[Any],
    count: int | None,
    seed: int,
) -> dict[str, Any]:
    """Record of the training examples, all or `count`: as the task has them (`data`), and as
    models are trained on them (`training`); and how many labels they have, if any."""
    described = tasks.task(task_name)
    found, revision = _read(described, source | {"path": path}, count, seed)
    return _training_record(objects, described, found, revision)


def _training_record(
    objects: Objects, described: Task, chosen: list[Example], revision: str
) -> dict[str, Any]:
    trained_on = [tasks.training_example(described, example) for example in chosen]
    labels = {example["label"] for example in trained_on if "label" in example}
    return {
        "data": {"object": objects.put_bytes(_lines(chosen))},
        "training": {"object": objects.put_bytes(_lines(trained_on))},
        "examples": len(chosen),
        "labels": max(labels) + 1 if labels else None,
        "revision": revision,
        "label_words": label_words(chosen),
    }


def stand_in_test(objects: Objects, *, task_name: str, count: int, seed: int) -> dict[str, Any]:
    """Record, as of `read_test`, of examples that mean nothing: for a rehearsal."""
    described = tasks.task(task_name)
    found = stand_ins(described, count, seed)
    return described_examples(objects, described, found) | {"revision": "stand-in"}


def stand_in_training(objects: Objects, *, task_name: str, count: int, seed: int) -> dict[str, Any]:
    """Record, as of `read_training`, of examples that mean nothing: for a rehearsal."""
    described = tasks.task(task_name)
    return _training_record(objects, described, stand_ins(described, count, seed + 1), "stand-in")


def _read(
    described: Task, source: dict[str, Any], count: int | None, seed: int
) -> tuple[list[Example], str]:
    """All examples or `count` of them; rows that are examples are drawn before they are read."""
    if described.examples_of is not None:
        rows, revision = read(source, described.row_fields)
        return drawn(examples_of(described, rows), count, seed), revision
    choose = functools.partial(drawn_places, count=count, seed=seed)
    rows, revision = read(source, described.row_fields, choose)
    return examples_of(described, rows), revision


def _lines(examples: Sequence[Example]) -> bytes:
    return "".join(json.dumps(example, sort_keys=True) + "\n" for example in examples).encode()
