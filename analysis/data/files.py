"""A table of one file on this disk: JSON lines, CSV, parquet or text."""

import codecs
import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from analysis.data.quiet import quiet_datasets
from analysis.errors import RequestError, RunError, unknown

if TYPE_CHECKING:
    from datasets import Dataset

ENDINGS = {
    "json": (".jsonl", ".json", ".ndjson"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "text": (".txt", ".text"),
}
_DIGITS = 12  # of the digest, enough to tell two versions of a file apart
_PIECE_BYTES = 1 << 20
_LONGEST_CELL = 1 << 30


@contextmanager
def opened_file(path: Path, form: str | None) -> Iterator[tuple["Dataset", str]]:
    """The rows of a file, and the first 12 digits of its SHA-256.

    form   "json", "csv", "parquet" or "text" (one row a line, empty ones too, with `text`);
           None: as the file's ending says

    Nothing is left in the cache of the library that reads it. Cells of CSV stay words, empty ones
    too: "007" is not 7, and "null" not nothing. Raises RequestError for a file that cannot be read.
    """
    form = file_form(path, form)
    digest = _digest(path, form)
    options = _csv_options(path) if form == "csv" else {}
    if form == "text":
        options = {"encoding": "utf-8-sig"}
    with TemporaryDirectory(prefix="analysis-data-") as cache, quiet_datasets():
        # under a name of our own: the library takes one with * or [ in it for a pattern
        link = Path(cache) / f"data{path.suffix}"
        link.symlink_to(path.absolute())
        yield _built(path, form, link, Path(cache) / "built", options), digest[:_DIGITS]


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
    for known, endings in ENDINGS.items():
        if path.suffix.lower() in endings:
            return known
    raise RequestError(
        f"{path}: what is in it does not follow from its ending {path.suffix!r}; give `format`,"
        f" one of {', '.join(ENDINGS)}"
    )


def _built(path: Path, form: str, link: Path, cache: Path, options: dict[str, Any]) -> "Dataset":
    import datasets
    import pyarrow

    try:
        return datasets.load_dataset(
            form, data_files=[str(link)], split="train", cache_dir=str(cache), **options
        )
    except (
        datasets.exceptions.DatasetGenerationError,
        pyarrow.ArrowException,
        ValueError,
        TypeError,
        KeyError,
    ) as error:
        raise RequestError(_unreadable(path, form, error)) from error
    except OSError as error:
        raise RunError(
            f"{path} cannot be read: {error.strerror or type(error).__name__}"
        ) from error


def _unreadable(path: Path, form: str, error: BaseException) -> str:
    """What is wrong with a file, with the line where that can be found."""
    if form == "json":  # a list of objects is read too, and has no such lines
        line = _first_bad_line(path)
        if line is not None:
            return f"{path}, line {line}: this is no JSON object; write one a line"
    if "corresponds to no data" in str(error):
        return f"{path} has no rows; give a file with examples"
    cause = error.__cause__ or error
    said = " ".join(str(cause).split())[:200]
    return f"{path} cannot be read as {form} ({said}); check the file, or give its `format`"


def _first_bad_line(path: Path) -> int | None:
    with path.open(encoding="utf-8-sig") as lines:
        if lines.read(1) == "[":
            return None
        lines.seek(0)
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    if not isinstance(json.loads(line), dict):
                        return number
                except ValueError:
                    return number
    return None


def _digest(path: Path, form: str) -> str:
    """The SHA-256 of a file, after checking that it is not empty, and text if it should be."""
    digest, blank = hashlib.sha256(), True
    decoder = None if form == "parquet" else codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                digest.update(piece)
                text = decoder.decode(piece) if decoder else "binary"
                blank = blank and not text.strip("\ufeff \t\r\n")
            if decoder:
                decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8; convert it, or give its `format`") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    if blank:
        raise RequestError(f"{path} is empty; give a file with examples")
    return digest.hexdigest()


def _csv_options(path: Path) -> dict[str, Any]:
    """All columns as words, by the names in the first line.

    Raises RequestError for a row of another length: the library would shift its cells.
    """
    import datasets

    csv.field_size_limit(_LONGEST_CELL)  # by default a long article is an error
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream, delimiter=separator)
        try:
            header = next(lines)
            odd = next((len(row) for row in lines if row and len(row) != len(header)), None)
        except csv.Error as error:
            raise RequestError(f"{path}, line {lines.line_num}: {error}") from error
        if odd is not None:
            raise RequestError(
                f"{path}, line {lines.line_num}: {odd} cells under {len(header)} names; quote cells"
                " that have a comma or a tab"
            )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise RequestError(f"{path} has two columns {twice[0]!r}; rename one of them")
    return {
        "sep": separator,
        "encoding": "utf-8-sig",
        "keep_default_na": False,
        "features": datasets.Features({name: datasets.Value("string") for name in header}),
    }
