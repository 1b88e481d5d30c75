"""The rows of one file on this disk: JSON lines, CSV, parquet or text, as they stand.

Of each row only the columns that are asked for, in the types that the file itself has: a cell of
CSV or a line of text is that text, and nothing is guessed from other rows. What can be read in two
ways is refused with its line.
"""

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from analysis.data import delimited, records
from analysis.errors import RequestError, RunError, unknown

ENDINGS = {
    "json": (".jsonl", ".json", ".ndjson"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "text": (".txt", ".text"),
}
PACKED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
Numbered = tuple[int, list[Any]]
_DIGITS = 12  # of the digest, enough to tell two versions of a file apart
_ENCODED = {b"\xff\xfe\0\0": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_NO_TEXT = {  # what files begin with that are no text, and what to do
    b"PK\x03\x04": "packed, as .xlsx and .zip are; export its table as CSV, or unpack it",
    b"\x1f\x8b": "packed by gzip; end its name in .gz",
    b"PAR1": "parquet; give `format: parquet`",
}


@dataclass(frozen=True)
class File:
    """A file, and how it is read.

    form       one of ENDINGS; None: as the file's ending says, before one of PACKED
    quotes     of CSV: whether a cell may stand in quotes, which are none of it; None: in .csv,
               where what is in them is one cell beyond doubt, and not in .tsv
    separator  of CSV: what stands between cells; None: a tab in .tsv, else a comma
    """

    path: Path
    form: str | None = None
    quotes: bool | None = None
    separator: str | None = None

    def rows(self, columns: Sequence[str]) -> Iterator[Numbered]:
        """Each row's number, and its values of these columns.

        Numbers are of lines of the file, of parquet and a JSON list of rows, from 1 (`unit`).
        Raises RequestError for a file that cannot be read so, RunError if the disk fails.
        """
        form = file_form(self.path, self.form)
        if form == "parquet":
            with self._opened() as stream:
                yield from records.parquet_rows(self.path, stream, columns)
            return
        self._require_text()
        # lines of CSV and JSON end with \n, whatever stands before it
        with self._opened() as stream, _decoded(stream, None if form == "text" else "\n") as lines:
            if form == "text":
                yield from _text_rows(self.path, lines, columns)
            elif form == "json":
                yield from records.json_rows(self.path, lines, columns, self._is_list())
            else:
                how = delimited.Dialect.of(self._name().suffix, self.quotes, self.separator)
                yield from delimited.rows(self.path, lines, columns, how)

    @property
    def unit(self) -> str:
        """What the rows' numbers count."""
        form = file_form(self.path, self.form)
        return "row" if form == "parquet" or (form == "json" and self._is_list()) else "line"

    @property
    def digest(self) -> str:
        """The first 12 digits of the SHA-256 of the file as it lies there."""
        try:
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()[:_DIGITS]
        except OSError as error:
            raise _unread(self.path, error) from error

    def _is_list(self) -> bool:
        """Whether a JSON file is one list, and not an object a line."""
        with self._opened() as stream:
            begins = (line.removeprefix(codecs.BOM_UTF8).lstrip() for line in stream)
            return next(filter(None, begins), b"").startswith(b"[")

    def _name(self) -> Path:
        """The file's name without the ending of what it is packed by."""
        return _unpacked(self.path)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The bytes of the file, unpacked."""
        unpack = PACKED.get(self.path.suffix.lower())
        try:
            with unpack(self.path) if unpack else self.path.open("rb") as stream:
                yield stream
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise RequestError(
                f"{self.path} is damaged ({error}); copy or pack it again"
            ) from error
        except OSError as error:
            raise _unread(self.path, error) from error

    def _require_text(self) -> None:
        """Raise RequestError, naming the line, for what is no text, and for an empty file."""
        blank = True
        with self._opened() as stream:
            for number, line in enumerate(stream, 1):
                if number == 1:
                    self._require_known_beginning(line)
                try:
                    text = line.decode()
                except UnicodeDecodeError as error:
                    raise self._not_utf8(number, f"byte {line[error.start]:#04x}") from error
                if "\0" in text:
                    raise self._not_utf8(number, "a byte 0")
                blank = blank and not text.strip("\ufeff \t\r\n")
        if blank:
            raise RequestError(f"{self.path} is empty; give a file with examples")

    def _require_known_beginning(self, line: bytes) -> None:
        """Raise RequestError for a first line of another encoding, or of what is no text."""
        for begins, what in _NO_TEXT.items():
            if line.startswith(begins):
                raise RequestError(f"{self.path} is no text but {what}")
        for begins, encoding in _ENCODED.items():
            if line.startswith(begins):
                raise self._not_utf8(1, encoding, encoding)

    def _not_utf8(self, line: int, what: str, encoding: str = "ENCODING") -> RequestError:
        which = "" if encoding in what else " with the one that it has, such as latin1 or gbk"
        return RequestError(
            f"{self.path}, line {line}: this is not UTF-8 text ({what}); convert the file, as by"
            f" `iconv -f {encoding} -t UTF-8`{which}, or give its `format`"
        )


def file_form(path: Path, form: str | None) -> str:
    """The form of a file that is there. Raises RequestError for one that is not, or unknown."""
    if form is not None and form not in ENDINGS:
        raise RequestError(unknown("format of data", form, ENDINGS))
    if not path.exists():
        raise RequestError(f"{path} does not exist; name a file, or fetch it first")
    if not path.is_file():
        raise RequestError(f"{path} is not a file; name a file of {', '.join(ENDINGS)}")
    if form is not None:
        return form
    ending = _unpacked(path).suffix
    for known, endings in ENDINGS.items():
        if ending.lower() in endings:
            return known
    raise RequestError(
        f"{path}: what is in it does not follow from its ending {ending!r}; give `format`,"
        f" one of {', '.join(ENDINGS)}"
    )


def _unpacked(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in PACKED else path


@contextmanager
def _decoded(stream: BinaryIO, newline: str | None) -> Iterator[TextIO]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline=newline)
    try:
        yield text
    finally:
        text.detach()


def _text_rows(path: Path, lines: TextIO, columns: Sequence[str]) -> Iterator[Numbered]:
    """One row a line, empty ones too, with `text`."""
    for column in columns:
        if column != "text":
            raise RequestError(unknown(f"column of {path}:", column, ["text"]))
    for number, line in enumerate(lines, 1):
        yield number, [line.removesuffix("\n")] * len(columns)


def _unread(path: Path, error: OSError) -> RunError:
    return RunError(f"{path} cannot be read: {error.strerror or error}; mend that, and run again")
