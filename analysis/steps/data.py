"""A real task's examples, read from the hub or from files: those of the test, those of training."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from analysis import tasks
from analysis.data import reading
from analysis.data.examples import (
    classes_of,
    examples_of,
    is_label,
    require_units,
    words_of,
)
from analysis.data.reading import read
from analysis.errors import RunError
from analysis.objects import Objects
from analysis.scoring.scripts import tokenizers
from analysis.steps.examples import described_examples
from analysis.steps.stored_examples import drawn, drawn_places
from analysis.tasks import Example, Task, references
from analysis.tasks.stand_ins import stand_ins


def read_test(
    objects: Objects,
    *,
    task_name: str,
    settings: dict[str, Any],
    source: dict[str, Any],
    path: str,
    stamp: list[Any],
    count: int | None,
    seed: int,
) -> dict[str, Any]:
    """Record, as of `make_examples`, of the test examples: all, or `count` drawn with the seed.

    `source` and the `path` of its data are as `analysis.data.reading.read` takes them, and `stamp`
    is the key's. `settings` are the fields of the task that the study names for its data. The
    record also has the revision of the data, a commit of the hub or the beginning of the file's
    digest; the numbers of its labels if those are words; and as its own `settings` also the fields
    that the data decide.
    """
    described = tasks.task(task_name, settings)
    found, classes, revision = _read(described, source | {"path": path}, count, seed)
    _require_unchanged(source | {"path": path}, stamp)
    require_units(described, found)
    decided = settings | _decided(described, found, classes)
    return described_examples(objects, tasks.task(task_name, decided), found) | {
        "settings": decided,
        "revision": revision,
        "label_words": words_of(classes),
    }


def read_training(
    objects: Objects,
    *,
    task_name: str,
    settings: dict[str, Any],
    source: dict[str, Any],
    path: str,
    stamp: list[Any],
    count: int | None,
    seed: int,
) -> dict[str, Any]:
    """Record of the training examples, all or `count`: as the task has them (`data`), and as
    models are trained on them (`training`); and how many labels they have, if any."""
    described = tasks.task(task_name, settings)
    found, classes, revision = _read(described, source | {"path": path}, count, seed)
    _require_unchanged(source | {"path": path}, stamp)
    return _training_record(objects, described, found, classes, revision)


def _require_unchanged(source: Mapping[str, Any], stamp: list[Any]) -> None:
    """Raise RunError if a file is no longer the one that the key is of."""
    if stamp and stamp != reading.stamp(source):
        raise RunError(f"{source['path']} changed while it was read; run again when it is finished")


def _training_record(
    objects: Objects,
    described: Task,
    chosen: list[Example],
    classes: Mapping[str, int],
    revision: str,
) -> dict[str, Any]:
    trained_on = [tasks.training_example(described, example) for example in chosen]
    of_head = described.form == "classification"
    return {
        "data": {"object": objects.put_bytes(_lines(chosen))},
        "training": {"object": objects.put_bytes(_lines(trained_on))},
        "examples": len(chosen),
        "labels": max(classes.values()) + 1 if of_head else None,
        "settings": _decided(described, chosen, classes),
        "revision": revision,
        "label_words": words_of(classes),
    }


def _decided(
    described: Task, examples: Sequence[Example], classes: Mapping[str, int]
) -> dict[str, Any]:
    """The fields of the task that the data decide: own classes, and by which words texts that are
    written are compared."""
    if described.form == "classification" and not described.classes:
        return {"classes": dict(classes)}
    if described.form == "text-to-text" and not described.label_words:
        return {"tokenizers": tokenizers(references(described, examples))}
    return {}


def stand_in_test(
    objects: Objects, *, task_name: str, settings: dict[str, Any], count: int, seed: int
) -> dict[str, Any]:
    """Record, as of `read_test`, of examples that mean nothing: for a rehearsal."""
    described = tasks.task(task_name, settings)
    found = stand_ins(described, count, seed)
    more = {"revision": "stand-in", "settings": settings}
    return described_examples(objects, described, found) | more


def stand_in_training(
    objects: Objects, *, task_name: str, settings: dict[str, Any], count: int, seed: int
) -> dict[str, Any]:
    """Record, as of `read_training`, of examples that mean nothing: for a rehearsal."""
    described = tasks.task(task_name, settings)
    found = stand_ins(described, count, seed + 1)
    return _training_record(objects, described, found, _classes(described, found), "stand-in")


def _read(
    described: Task, source: dict[str, Any], count: int | None, seed: int
) -> tuple[list[Example], Mapping[str, int], str]:
    """All examples or `count` of them, and the classes of all, whichever are drawn; rows that are
    examples are drawn before they are read."""
    if described.examples_of is not None or count is None:
        rows, revision = read(source, described.row_fields)
        found = examples_of(described, rows)
        return drawn(found, count, seed), _classes(described, found), revision
    classes = None
    if is_label(described):
        rows, _ = read(source, (str(described.target),))
        classes = classes_of(described, [row[str(described.target)] for row in rows])
    choose = functools.partial(drawn_places, count=count, seed=seed)
    rows, revision = read(source, described.row_fields, choose)
    return examples_of(described, rows, classes), classes or {}, revision


def _classes(described: Task, found: Sequence[Example]) -> Mapping[str, int]:
    """The name and the number of each class of these examples; none if they have none."""
    if not is_label(described):
        return {}
    target = str(described.target)
    named = {str(e.get("label_word", e[target])): e[target] for e in found}
    return dict(sorted(named.items(), key=lambda item: item[1]))


def _lines(examples: Sequence[Example]) -> bytes:
    return "".join(json.dumps(example, sort_keys=True) + "\n" for example in examples).encode()
