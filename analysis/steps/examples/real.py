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
from analysis.data.reading import Table, read
from analysis.engine.objects import Objects
from analysis.errors import RunError
from analysis.steps.examples.generated import described_examples
from analysis.steps.examples.stored import drawn, drawn_places, read_examples
from analysis.tasks import Example, Task, references
from analysis.tasks.scripts import tokenizers
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
    digest; the `content` of all of a file's rows, drawn or not (see `reading.Table`); the numbers
    of its labels if those are words; and as its own `settings` also the fields that the data
    decide.
    """
    described = tasks.task(task_name, settings)
    found, classes, table = _read(described, source | {"path": path}, count, seed)
    _require_unchanged(source | {"path": path}, stamp)
    require_units(described, found)
    decided = settings | _decided(described, found, classes)
    return described_examples(objects, tasks.task(task_name, decided), found) | {
        "settings": decided,
        "revision": table.revision,
        "content": table.content,
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
    found, classes, table = _read(described, source | {"path": path}, count, seed)
    _require_unchanged(source | {"path": path}, stamp)
    record = _training_record(objects, described, found, classes, table.revision)
    return record | {"content": table.content}


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


def count_shared(
    objects: Objects, *, task_name: str, settings: dict[str, Any], test: str, training: str
) -> dict[str, Any]:
    """Record: how many of the test examples are `shared`, being among those of training too, but
    for white space. Both are objects of examples as the task has them."""
    described = tasks.task(task_name, settings)

    def contents(digest: str) -> list[tuple[str, ...]]:
        return [_content(described, example) for example in read_examples(objects, digest)]

    known = set(contents(training))
    return {"shared": sum(content in known for content in contents(test))}


def _content(described: Task, example: Example) -> tuple[str, ...]:
    """All that the task reads of an example; a label by its name, where it has one."""
    texts = [str(example[field]) for field in described.inputs]
    if described.target is not None:
        texts.append(str(example.get("label_word", example[described.target])))
    return tuple(" ".join(text.split()) for text in texts)


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
) -> tuple[list[Example], Mapping[str, int], Table]:
    """All examples or `count` of them, the classes of all, whichever are drawn, and the rows; rows
    that are examples are drawn before they are read."""
    if described.examples_of is not None or count is None:
        table = read(source, described.row_fields)
        found = examples_of(described, table.rows, places=table.places)
        return drawn(found, count, seed), _classes(described, found), table
    classes = None
    if is_label(described):
        table = read(source, (str(described.target),))
        labels = [row[str(described.target)] for row in table.rows]
        classes = classes_of(described, labels, table.places)
    choose = functools.partial(drawn_places, count=count, seed=seed)
    table = read(source, described.row_fields, choose)
    return examples_of(described, table.rows, classes, table.places), classes or {}, table


def _classes(described: Task, found: Sequence[Example]) -> Mapping[str, int]:
    """The name and the number of each class of these examples; none if they have none."""
    if not is_label(described):
        return {}
    target = str(described.target)
    named = {str(e.get("label_word", e[target])): e[target] for e in found}
    return dict(sorted(named.items(), key=lambda item: item[1]))


def _lines(examples: Sequence[Example]) -> bytes:
    return "".join(json.dumps(example, sort_keys=True) + "\n" for example in examples).encode()
