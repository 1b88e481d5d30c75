"""Rows of a task's data, by a plain description of where they are.

    {"kind": "hub", "path": "nyu-mll/glue", "name": "sst2", "revision": "main",
     "split": "validation", "columns": {}}
    {"kind": "files", "path": "sst2.jsonl", "format": None, "columns": {}, "part": [0.0, 0.8]}

`columns` says, for a field whose column has another name, which it is: "translation.en" is the
`en` within `translation`. `part` is the share of a file's rows that is meant, so that one file can
serve training and test. `quotes` and `separator` may say how a CSV file is written (see `files`).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.data.files import File
from analysis.data.hub import opened_split
from analysis.data.records import column_at
from analysis.errors import RequestError

if TYPE_CHECKING:
    from datasets import Dataset

Source = Mapping[str, Any]
Rows = list[dict[str, Any]]
Choice = Callable[[int], Sequence[int]]


@dataclass(frozen=True)
class Table:
    """Rows of a task's data.

    rows       each with the fields that were asked for
    places     for messages, where each of them stands: "test.csv, line 7"
    revision   the commit for the hub, the first 12 digits of the SHA-256 for a file
    content    a digest of a file's rows that were chosen from, of these fields, in whatever order
               and with whatever white space; empty for the hub
    """

    rows: Rows
    places: Sequence[str]
    revision: str
    content: str = ""


def read(source: Source, fields: Sequence[str], choose: Choice | None = None) -> Table:
    """The rows, each with these fields.

    choose   from the number of rows, which of them are wanted, in what order; by default all. Only
             those are held in memory

    What a data set calls its labels does not matter here: the numbers that stand for them come
    back.

    Raises RequestError for a description that is wrong (no such file, column, configuration,
    split, revision or permission; a file that is damaged or empty), RunError for a network or a
    disk that fails.
    """
    columns = {field: str(source.get("columns", {}).get(field, field)) for field in fields}
    if source["kind"] == "files":
        return _of_file(source, columns, choose)
    with opened_split(
        source["path"], source.get("name"), source.get("revision") or "main", source["split"]
    ) as (table, revision):
        paths = {field: _located(table, name, source) for field, name in columns.items()}
        kept = table.select_columns(list(dict.fromkeys(path[0] for path in paths.values())))
        wanted = _wanted(len(table), source, choose)
        found = kept if len(wanted) == len(table) and choose is None else kept.select(wanted)
        return Table(
            [
                {field: _within(row, path) for field, path in paths.items()}
                for row in found.to_list()
            ],
            [f"{named(source)}, row {row + 1}" for row in wanted],
            revision,
        )


def _of_file(source: Source, columns: Mapping[str, str], choose: Choice | None) -> Table:
    """The rows of a file, which is gone through once if all of them are wanted, else twice."""
    path = Path(source["path"])
    file = File(path, source.get("format"), source.get("quotes"), source.get("separator"))
    names, unit, revision = list(columns.values()), file.unit, file.digest
    held: dict[int, tuple[int, list[Any]]] | None = None
    if choose is None and source.get("part") is None:
        held = dict(enumerate(file.rows(names)))
    count = len(held) if held is not None else sum(1 for _ in file.rows(names))
    part, wanted = _part(count, source.get("part")), _wanted(count, source, choose)
    content = _Content()
    if held is None:
        held, needed = {}, set(wanted)
        for index, row in enumerate(file.rows(names)):
            if index in part:
                content.add(row[1])
            if index in needed:
                held[index] = row
    else:
        for _, values in held.values():
            content.add(values)
    return Table(
        [dict(zip(columns, held[index][1], strict=True)) for index in wanted],
        [f"{path}, {unit} {held[index][0]}" for index in wanted],
        revision,
        content.digest,
    )


class _Content:
    """A digest of rows that does not depend on their order, or on white space in their texts."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, values: Sequence[Any]) -> None:
        """Another row."""
        text = "\0".join(" ".join(str(value).split()) for value in values)
        row = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16)
        self._sum += int.from_bytes(row.digest(), "big")

    @property
    def digest(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._sum % (1 << 128):032x}"


def stamp(source: Source) -> list[str | int]:
    """What tells that a file has changed, for a key: name, bytes, time, inode; [] for the hub."""
    if source["kind"] == "hub":
        return []
    path = Path(source["path"])
    try:
        state = path.stat()
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error
    return [path.name, state.st_size, state.st_mtime_ns, state.st_ino]


def named(source: Source) -> str:
    """The data in a few words, for messages."""
    if source["kind"] == "files":
        return str(source["path"])
    return " ".join(str(source[key]) for key in ("path", "name", "split") if source.get(key))


def _wanted(rows: int, source: Source, choose: Choice | None) -> Sequence[int]:
    """Which rows are wanted. Raises RequestError if none are."""
    wanted: Sequence[int] = _part(rows, source.get("part"))
    if choose is not None:
        wanted = [wanted[index] for index in choose(len(wanted))]
    if not len(wanted):
        raise RequestError(f"{named(source)} has no rows; give data with examples")
    return wanted


def _part(rows: int, part: Sequence[float] | None) -> range:
    """Which rows a share means: two that meet have no row in common, and leave none out."""
    first, last = part or (0.0, 1.0)
    if not 0 <= first < last <= 1:
        raise RequestError(f"a part of the rows is [from, to] within 0 and 1; got {part}")
    return range(round(first * rows), round(last * rows))


def _located(table: "Dataset", column: str, source: Source) -> tuple[str, ...]:
    """The way to a column: its name, and the names within it. Raises RequestError if none is."""
    if column in table.column_names:
        way: tuple[str, ...] = (column,)
    else:
        way = tuple(column.split("."))
    inside = column_at(table.features, way, named(source))
    if type(inside).__name__ == "Json":
        raise RequestError(
            f"{named(source)}: column {column!r} has values of several types; give them one"
        )
    return way


def _within(row: Mapping[str, Any], way: Sequence[str]) -> Any:
    value: Any = row
    for name in way:
        value = value[name] if value is not None else None
    return value
