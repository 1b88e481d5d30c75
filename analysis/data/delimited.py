"""Rows of CSV and TSV, cell by cell as they stand, and a line for what can be read in two ways."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import RequestError, unknown

SEPARATORS = (",", ";", "\t", "|")
_LONGEST_CELL = 1 << 30
_SAID = {  # of what the reader of the standard library complains
    "expected after": "a quote is closed and text follows; write a quote within a cell twice, or"
    " say `quotes: false` if quotes are text",
    "unexpected end": "a quote is opened here and never closed; close it, or say `quotes: false` if"
    " quotes are text",
    "new-line character": "a carriage return stands within a cell; end lines with \\n or \\r\\n",
}


@dataclass(frozen=True)
class Dialect:
    """How cells are told apart.

    quoted   whether a cell may stand in quotes, which are none of it
    sure     whether somebody said so: what is in quotes is then one cell, whatever it looks like
    """

    separator: str
    quoted: bool
    sure: bool

    @classmethod
    def of(cls, ending: str, quotes: bool | None, separator: str | None) -> "Dialect":
        """By a file's ending, unless it is said: GLUE's .tsv have quotes that are text."""
        tabs = ending.lower() == ".tsv"
        quoted = not tabs if quotes is None else quotes
        return cls(separator or ("\t" if tabs else ","), quoted, quotes is not None)


def rows(
    path: Path, lines: Iterable[str], columns: Sequence[str], how: Dialect
) -> Iterator[tuple[int, list[str]]]:
    """The line that each row begins on, and its cells of these columns, by the names in the first.

    lines   end with \\n, or \\r\\n. Empty ones are no rows

    Raises RequestError for a row of another length than the first, for quotes that are not closed
    or that text follows, and for cells in quotes that may be rows an opening quote has swallowed.
    """
    csv.field_size_limit(_LONGEST_CELL)  # by default a long article is an error
    reader = csv.reader(
        lines,
        delimiter=how.separator,
        quoting=csv.QUOTE_MINIMAL if how.quoted else csv.QUOTE_NONE,
        strict=True,
    )
    line, header, chosen = 1, None, []
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            what = next((said for part, said in _SAID.items() if part in str(error)), str(error))
            raise _wrong(path, line, what) from error
        if cells is None:
            return
        if cells and header is None:
            header, chosen = cells, [_place(path, cells, column, how) for column in columns]
        elif cells and header is not None:
            if how.quoted and not how.sure:
                _require_one_row(path, line, cells, len(header) == 1, how)
            if len(cells) != len(header):
                raise _wrong(path, line, _of_another_length(len(cells), len(header), how))
            yield line, [cells[place] for place in chosen]
        line = reader.line_num + 1


def _place(path: Path, header: Sequence[str], column: str, how: Dialect) -> int:
    """Which cell is that column's."""
    if header.count(column) > 1:
        raise RequestError(f"{path} has two columns {column!r}; rename one of them")
    if column in header:
        return header.index(column)
    if header[0].startswith("sep="):
        raise _wrong(
            path, 1, "Excel's `sep=` line is no row; remove it, and say the same as `separator`"
        )
    if len(header) == 1 and any(other in header[0] for other in SEPARATORS):
        raise _wrong(
            path,
            1,
            f"there is one name, {header[0]!r}, between separators {how.separator!r}; say which"
            " stands between cells, as `separator`",
        )
    raise RequestError(unknown(f"column of {path}:", column, header))


def _of_another_length(cells: int, names: int, how: Dialect) -> str:
    advice = (
        f"quote cells that have a {how.separator!r}"
        if how.quoted
        else "quotes are text here, unless `quotes: true` is said"
    )
    return f"{cells} cells under {names} names; {advice}"


def _require_one_row(
    path: Path, line: int, cells: Sequence[str], one_column: bool, how: Dialect
) -> None:
    """Raise RequestError for a cell in quotes that looks like several rows."""
    for cell in cells:
        if "\n" in cell and (how.separator in cell or one_column):
            holds = "a line break" if one_column else f"a line break and a {how.separator!r}"
            raise _wrong(
                path,
                line,
                f"a cell in quotes holds {holds}, and looks like rows that a quote has swallowed;"
                " say `quotes: true` if it is one cell, `quotes: false` if quotes are text",
            )


def _wrong(path: Path, line: int, what: str) -> RequestError:
    return RequestError(f"{path}, line {line}: {what}")
