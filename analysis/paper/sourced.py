"""Values that know the rows of results they were made from, and how the page says so.

A value of the running text is a string like any other. In the page it tells on hover which table
and rows it comes from, and to programs in its `data-` attributes; in the PDF it is plain text.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

import pandas as pd

from analysis.paper import text
from analysis.results import ENVIRONMENT, KEYS

ENTRIES, CLAIMS = "environment", "claims"  # in place of a table
_FILES = {ENTRIES: ENVIRONMENT, CLAIMS: "report.qmd"}
_KEYS = {**KEYS, ENTRIES: ["entry"], CLAIMS: ["claim"]}
_TITLE = 160  # characters that a reader is shown on hover
_KEY = 70  # of them one key
_LISTED = 12  # rows that the page names


class Sourced(str):
    """A value with the result table that it was made from, and the keys of the rows."""

    table: str
    rows: tuple[tuple[str, ...], ...]

    def __new__(cls, shown: str, table: str, rows: Sequence[tuple[str, ...]]) -> Self:
        made = super().__new__(cls, shown)
        made.table, made.rows = table, tuple(dict.fromkeys(rows))
        return made


def sourced(shown: str, table: str, rows: pd.DataFrame | Sequence[pd.Series]) -> Sourced:
    """The value as made from these rows, which have the key columns of that table."""
    frame = pd.DataFrame(rows)
    keys = [] if frame.empty else frame[KEYS[table]].itertuples(index=False)
    return Sourced(shown, table, [tuple(map(_plain, key)) for key in keys])


def told(shown: str, *entries: str) -> Sourced:
    """The value as made from these entries of environment.json."""
    return Sourced(shown, ENTRIES, [(entry,) for entry in entries])


def claimed(shown: str, names: Iterable[str]) -> Sourced:
    """The value as made from these claims of report.qmd."""
    return Sourced(shown, CLAIMS, [(name,) for name in names])


def marked(value: str) -> str:
    """The value as Markdown of both formats: one that knows its rows says so in the page."""
    if not isinstance(value, Sourced):
        return value
    attributes = {
        "title": title(value),
        "data-table": value.table,
        "data-count": str(len(value.rows)),
        "data-rows": json.dumps(value.rows[:_LISTED]),
    }
    said = " ".join(f'{name}="{text.attribute(own)}"' for name, own in attributes.items())
    return f"[{value}]{{{said}}}"


def title(value: Sourced) -> str:
    """Table and rows in a line: what all rows share, then of each what is its own."""
    names = _KEYS[value.table]
    same = {
        name: column[0]
        for name, column in zip(names, zip(*value.rows, strict=True), strict=False)
        if len(set(column)) == 1
    }
    shared = ", ".join(f"{name} {_short(key)}" for name, key in same.items() if key)
    own = [
        ", ".join(_short(k) for n, k in zip(names, row, strict=True) if n not in same)
        for row in value.rows
    ]
    file = _FILES.get(value.table, f"{value.table}.csv")
    parts = [file, shared, "" if len(own) == 1 else text.numbered(len(own), "row")]
    head = ": ".join([parts[0], ", ".join(part for part in parts[1:] if part)])
    return _cut(head, _TITLE) if len(own) < 2 else _cut(f"{head}: {_first(own, head)}", _TITLE)


def _first(items: list[str], head: str) -> str:
    """As many of them as there is room for beside the head, and how many more there are."""
    for count in range(len(items), 0, -1):
        more = f" and {len(items) - count:,} more" if count < len(items) else ""
        said = "; ".join(items[:count]) + more
        if len(head) + len(said) + 2 <= _TITLE or count == 1:
            return said
    return ""


def _short(key: str) -> str:
    return _cut(text.cleaned(key), _KEY)


def _cut(string: str, limit: int) -> str:
    return string if len(string) <= limit else string[: limit - 1] + "…"


def _plain(key: Any) -> str:
    """A key as the table's file has it, but for the zeros that numbers may end in."""
    if text.is_missing(key):
        return ""
    return f"{key:.12g}" if isinstance(key, float) else str(key)
