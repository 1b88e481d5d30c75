"""Rows that are objects with named values, and names within these: JSON and parquet."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from analysis.errors import RequestError, unknown

Row = Mapping[str, Any]
_BLANK = " \t\r\n"
_ABSENT = object()
_BATCH = 4096  # rows of parquet in memory at a time


def json_rows(
    path: Path, lines: TextIO, columns: Sequence[str], is_list: bool
) -> Iterator[tuple[int, list[Any]]]:
    """The line of each object, or its number in a list, and its values of these columns.

    "translation.en" is the `en` within `translation`, unless there is a column of that name. What a
    row lacks is None. Raises RequestError, with the line, for what is no JSON object, has a name
    twice, or a text that no file could hold.
    """
    decode = _decoder(columns)
    found = _Columns(path, columns)
    if is_list:
        listed = _parsed(path, None, lines.read(), decode)
        for number, row in enumerate(listed, 1):
            if not isinstance(row, dict):
                raise RequestError(f"{path}, row {number}: this is no JSON object, but {row!r}")
            yield number, _of_text(path, f"row {number}", found.of(row))
    else:
        for number, line in enumerate(lines, 1):
            if not line.strip(_BLANK):
                continue
            row = _parsed(path, number, line, decode)
            if not isinstance(row, dict):
                raise RequestError(
                    f"{path}, line {number}: this is no JSON object; write one a line"
                )
            yield number, _of_text(path, f"line {number}", found.of(row))
    found.require_all()


def parquet_rows(
    path: Path, stream: BinaryIO, columns: Sequence[str]
) -> Iterator[tuple[int, list[Any]]]:
    """The number of each row, and its values of these columns, as of `json_rows`."""
    import pyarrow
    import pyarrow.parquet

    try:
        if not stream.read(1):
            raise RequestError(f"{path} is empty; give a file with examples")
        stream.seek(0)
        with pyarrow.parquet.ParquetFile(stream) as file:
            names = file.schema_arrow.names
            tops = [name if name in names else name.split(".")[0] for name in columns]
            for top in tops:
                if names.count(top) > 1:
                    raise RequestError(f"{path} has two columns {top!r}; rename one of them")
                if top not in names:
                    raise RequestError(unknown(f"column of {path}:", top, names))
            found, number = _Columns(path, columns), 0
            for batch in file.iter_batches(_BATCH, columns=list(dict.fromkeys(tops))):
                for row in batch.to_pylist():
                    number += 1
                    yield number, found.of(row)
        found.require_all()
    except (pyarrow.ArrowException, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno is not None:  # the library's own complaints have no number
            raise
        raise _damaged(path, error) from error


class _Columns:
    """Finds columns in rows, and notes which have been in any."""

    def __init__(self, path: Path, columns: Sequence[str]):
        self._path, self._ways = path, [(name, tuple(name.split("."))) for name in columns]
        self._missing = set(columns)
        self._first: Row = {}

    def of(self, row: Row) -> list[Any]:
        """The row's values."""
        self._first = self._first or row
        found = []
        for name, way in self._ways:
            value = row[name] if name in row else _within(row, way)
            if value is _ABSENT:
                value = None
            else:
                self._missing.discard(name)
            found.append(value)
        return found

    def require_all(self) -> None:
        """Raise RequestError for a column that no row has had."""
        for name, way in self._ways:
            if name not in self._missing or not self._first:
                continue
            column_at(self._first, way, str(self._path))


def column_at(inside: Any, way: Sequence[str], where: str) -> Any:
    """What lies at the end of a way of names, each within the one before. Raises RequestError,
    with the names that there are, for the first that is not there."""
    for depth, name in enumerate(way):
        if not isinstance(inside, Mapping) or name not in inside:
            above = f"{'.'.join(way[:depth])} of " if depth else ""
            there = list(inside) if isinstance(inside, Mapping) else []
            raise RequestError(unknown(f"column of {above}{where}:", name, there))
        inside = inside[name]
    return inside


def _within(row: Row, way: Sequence[str]) -> Any:
    value: Any = row
    for name in way:
        if value is None:
            return None
        if not isinstance(value, Mapping) or name not in value:
            return _ABSENT
        value = value[name]
    return value


def _decoder(columns: Sequence[str]) -> Callable[[str], Any]:
    """Reads JSON; raises ValueError for an object that has a name of these columns twice."""
    wanted = {part for column in columns for part in (column, *column.split("."))}

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            names = [name for name, _ in pairs]
            if twice := [name for name in made if name in wanted and names.count(name) > 1]:
                raise ValueError(f"{twice[0]!r} stands twice")
        return made

    return json.JSONDecoder(object_pairs_hook=once).decode


def _parsed(path: Path, line: int | None, text: str, decode: Callable[[str], Any]) -> Any:
    """The JSON of a line, or of a whole file."""
    try:
        return decode(text)
    except json.JSONDecodeError as error:
        why, line = error.msg, line or error.lineno
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as error:  # a number of thousands of digits too
        why = str(error)
    where = f"{path}, line {line}" if line else str(path)
    raise RequestError(f"{where}: this is no JSON object ({why}); write one a line")


def _of_text(path: Path, place: str, values: list[Any]) -> list[Any]:
    for value in values:
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise RequestError(
                    f"{path}, {place}: {value[error.start : error.start + 1]!r} is half of a"
                    " character; write its text whole"
                ) from error
    return values


def _damaged(path: Path, error: BaseException) -> RequestError:
    said = " ".join(str(error).split())[:200]
    return RequestError(
        f"{path} cannot be read as parquet ({said}); check the file, or give its `format`"
    )
