"""Links to where models, data sets and libraries are; what has no known place has none.

Only names that a hub or an index takes become part of an address: whatever else strangers write
stays text.
"""

import re
from typing import Any

from analysis.paper.text import escape

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPOSITORY = re.compile(rf"{_NAME}(?:/{_NAME})?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DATA = re.compile(rf"hub: ({_NAME}(?:/{_NAME})?)( \(.*\))?", re.DOTALL)


def model(identifier: str, revision: Any) -> str:
    """A model of the hub, at its commit if that is known."""
    return _hub(identifier, revision)


def dataset(source: str, revision: Any) -> str:
    """Where a task's data are from: "hub: nyu-mll/glue (sst2)" with a link, all else as it is."""
    found = _DATA.fullmatch(source)
    if found is None:
        return escape(source)
    return _hub(found[1], revision, "datasets/") + (f" {escape(found[2])}" if found[2] else "")


def library(name: str) -> str:
    """A package of Python's index."""
    known = re.fullmatch(_NAME, name)
    return f"[{escape(name)}](https://pypi.org/project/{name}/)" if known else escape(name)


def _hub(repository: str, revision: Any, kind: str = "") -> str:
    shown = escape(repository)
    if not _REPOSITORY.fullmatch(repository):
        return shown
    at = f"/tree/{revision}" if _COMMIT.fullmatch(str(revision)) else ""
    return f"[{shown}](https://huggingface.co/{kind}{repository}{at})"
