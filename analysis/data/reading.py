"""Rows of a task's data, by a plain description of where they are.

    {"kind": "hub", "path": "nyu-mll/glue", "files": "sst2/validation-*.parquet",
     "revision": "main", "columns": {}}
    {"kind": "files", "path": "sst2.jsonl", "format": None, "columns": {}, "part": [0.0, 0.8]}

`columns` says, for a field whose column has another name, which it is: "translation.en" is the
`en` within `translation`. `part` is the share of a file's rows that is meant, so that one file can
serve training and test. `quotes` and `separator` may say how a CSV file is written (see `files`).
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.data.files import File
from analysis.data.hub import split_files
from analysis.engine.files import stamp as stamp_of
from analysis.errors import RequestError, RunError

Source = Mapping[str, Any]
Choice = Callable[[int], Sequence[int]]


@dataclass(frozen=True)
class Table:
    """Rows of a task's data.

    rows       each with the fields that were asked for
    places     for messages, where each of them stands: "test.csv, line 7"
    revision   the commit for the hub, the first 12 digits of the SHA-256 for a file
    content    a digest of the rows that were chosen from, of these fields, in whatever order and
               with whatever white space
    """

    rows: list[dict[str, Any]]
    places: Sequence[str]
    revision: str
    content: str


def read(source: Source, fields: Sequence[str], choose: Choice | None = None) -> Table:
    """The rows, each with these fields.

    choose   from the number of rows, which of them are wanted, in what order; by default all. Only
             those are held in memory

    What a data set calls its labels does not matter here: the numbers that stand for them come
    back.

    Raises RequestError for a description that is wrong (no such file, column, revision or
    permission; a file of the user's that is damaged or empty), RunError for a network or a disk
    that fails, and for a data set whose files are not as they should be.
    """
    columns = {field: str(source.get("columns", {}).get(field, field)) for field in fields}
    if source["kind"] == "files":
        path = Path(source["path"])
        file = File(path, source.get("format"), source.get("quotes"), source.get("separator"))
        rows, places, content = _read({str(path): file}, columns, source, choose)
        return Table(rows, places, file.digest, content)
    found = split_files(source)
    files = {f"{source['path']}/{name}": File(found.folder / name) for name in found.files}
    try:
        rows, places, content = _read(files, columns, source, choose)
    except RequestError as error:  # no request of the user's is wrong
        what = f"{named(source)}: {error}"
        raise RunError(f"{what} (if it is damaged, remove it and run this again)") from error
    return Table(rows, places, found.commit, content)


def _read(
    files: Mapping[str, File], columns: Mapping[str, str], source: Source, choose: Choice | None
) -> tuple[list[dict[str, Any]], list[str], str]:
    """The rows of files that follow each other, by what they are called; their places and content.

    The files are gone through once if all rows are wanted, else twice.
    """
    units = {name: file.unit for name, file in files.items()}

    def rows() -> Iterator[tuple[str, int, list[Any]]]:
        for name, file in files.items():
            for number, values in file.rows(list(columns.values())):
                yield name, number, values

    held: dict[int, tuple[str, int, list[Any]]] | None = None
    if choose is None and source.get("part") is None:
        held = dict(enumerate(rows()))
    count = len(held) if held is not None else sum(1 for _ in rows())
    part, wanted = _part(count, source.get("part")), _wanted(count, source, choose)
    content = _Content()
    if held is None:
        held, needed = {}, set(wanted)
        for index, row in enumerate(rows()):
            if index in part:
                content.add(row[2])
            if index in needed:
                held[index] = row
    else:
        for row in held.values():
            content.add(row[2])
    chosen = [held[index] for index in wanted]
    return (
        [dict(zip(columns, values, strict=True)) for _, _, values in chosen],
        [f"{name}, {units[name]} {number}" for name, number, _ in chosen],
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


def stamp(source: Source) -> list[Any]:
    """What tells that a file has changed, for a key: name, bytes, time, inode; [] for the hub."""
    if source["kind"] == "hub":
        return []
    path = Path(source["path"])
    try:
        return stamp_of(path)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error


def named(source: Source) -> str:
    """The data in a few words, for messages."""
    if source["kind"] == "files":
        return str(source["path"])
    return f"{source['path']}, {source['files']}"


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
