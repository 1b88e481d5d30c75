"""How many examples a task has, and how long they are, before they are read."""

from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from analysis import tasks
from analysis.experiments import examples as data_calls
from analysis.study import Study

_LINES = (".jsonl", ".csv", ".tsv", ".txt")  # files with an example in each line
_BLOCK = 1 << 20
_BYTES_OF_TOKEN = 4


@dataclass(frozen=True)
class Counted:
    """Of the "test" or "train" part of a task; None is what is not known."""

    examples: int | None = None
    tokens: int | None = None  # of one of them


def counted(study: Study, task: str, part: str) -> Counted:
    """As published of a data set of the hub, or as many lines as a file has, of their length."""
    hub, where = tasks.task(task).hub, data_calls.source(study, task, part)
    if where is None:
        return Counted()
    if where["kind"] == "hub":
        assert hub is not None
        return Counted(hub.examples if part == "test" else hub.train_examples)
    return _of_file(where)


def _of_file(where: dict[str, Any]) -> Counted:
    path = Path(where["path"])
    if path.suffix not in _LINES or not path.is_file():
        return Counted()
    begin, end = where["part"] or (0.0, 1.0)
    with path.open("rb") as stream:
        blocks = iter(lambda: stream.read(_BLOCK), b"")
        lines = max(1, sum(map(bytes.count, blocks, repeat(b"\n"))))
    tokens = max(1, path.stat().st_size // lines // _BYTES_OF_TOKEN)
    return Counted(max(1, round((end - begin) * lines)), tokens)
