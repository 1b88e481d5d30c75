"""How many training examples a task has, before they are read."""

from itertools import repeat
from pathlib import Path

from analysis import data_calls, tasks
from analysis.study import Study

_LINES = (".jsonl", ".csv", ".tsv", ".txt")  # files with an example in each line
_BLOCK = 1 << 20


def training_examples(study: Study, task: str) -> int | None:
    """As published of a data set of the hub, or the lines of a file; None if that is not known."""
    hub, where = tasks.task(task).hub, data_calls.source(study, task, "train")
    if where is None:
        return None
    if where["kind"] == "hub":
        return hub.train_examples if hub else None
    path = Path(where["path"])
    if path.suffix not in _LINES or not path.is_file():
        return None
    begin, end = where["part"] or (0.0, 1.0)
    with path.open("rb") as stream:
        blocks = iter(lambda: stream.read(_BLOCK), b"")
        lines = sum(map(bytes.count, blocks, repeat(b"\n")))
    return max(1, round((end - begin) * lines))
