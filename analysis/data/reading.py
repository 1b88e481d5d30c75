"""Rows of a task's data, by a plain description of where they are.

    {"kind": "hub", "path": "nyu-mll/glue", "name": "sst2", "revision": "main",
     "split": "validation", "columns": {}}
    {"kind": "files", "path": "sst2.jsonl", "format": None, "columns": {}, "part": [0.0, 0.8]}

`columns` says, for a field whose column has another name, which it is: "translation.en" is the
`en` within `translation`. `part` is the share of a file's rows that is meant, so that one file can
serve training and test.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.data.files import opened_file
from analysis.data.hub import opened_split
from analysis.errors import RequestError, unknown

if TYPE_CHECKING:
    from datasets import Dataset

Source = Mapping[str, Any]
Rows = list[dict[str, Any]]


def read(
    source: Source,
    fields: Sequence[str],
    choose: Callable[[int], Sequence[int]] | None = None,
) -> tuple[Rows, str]:
    """The rows, each with these fields, and the revision of the data.

    choose   from the number of rows, which of them are wanted, in what order; by default all. Only
             those are held in memory

    The revision is the commit for the hub, the first 12 digits of the SHA-256 for a file. What a
    data set calls its labels does not matter here: the numbers that stand for them come back.

    Raises RequestError for a description that is wrong (no such file, column, configuration,
    split, revision or permission; a file that is damaged or empty), RunError for a network or a
    disk that fails.
    """
    with _opened(source) as (table, revision):
        columns = {field: str(source.get("columns", {}).get(field, field)) for field in fields}
        paths = {field: _located(table, name, source) for field, name in columns.items()}
        kept = table.select_columns(list(dict.fromkeys(path[0] for path in paths.values())))
        wanted: Sequence[int] = _part(len(table), source.get("part"))
        if choose is not None:
            wanted = [wanted[index] for index in choose(len(wanted))]
        if not len(wanted):
            raise RequestError(f"{named(source)} has no rows; give data with examples")
        found = kept if len(wanted) == len(table) and choose is None else kept.select(wanted)
        return [
            {field: _within(row, path) for field, path in paths.items()} for row in found.to_list()
        ], revision


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


@contextmanager
def _opened(source: Source) -> Iterator[tuple["Dataset", str]]:
    if source["kind"] == "files":
        with opened_file(Path(source["path"]), source.get("format")) as found:
            yield found
    else:
        with opened_split(
            source["path"], source.get("name"), source.get("revision") or "main", source["split"]
        ) as found:
            yield found


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
    inside: Any = table.features
    for depth, name in enumerate(way):
        if not isinstance(inside, Mapping) or name not in inside:
            where = f"{'.'.join(way[:depth])} of " if depth else ""
            there = list(inside) if isinstance(inside, Mapping) else []
            raise RequestError(unknown(f"column of {where}{named(source)}:", name, there))
        inside = inside[name]
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
