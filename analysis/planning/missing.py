"""What a study's data cannot be had of, found before its first step: nothing is downloaded."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.data.files import file_form
from analysis.errors import RequestError

PAGE = "README.md"  # of a data folder: what belongs there, and how it is had


def missing_files(folder: Path, files: Sequence[tuple[Path, str | None]]) -> Iterator[str]:
    """A line on all files, each with its format, that a data folder has not; a line on each that
    cannot be read as it is named. What a file holds is not looked at."""
    absent = [path for path, _ in dict.fromkeys(files) if not path.exists()]
    if absent:
        yield _absent(folder, absent)
    for path, form in dict.fromkeys(files):
        if path not in absent:
            try:
                file_form(path, form)
            except RequestError as error:
                yield str(error)


def _absent(folder: Path, paths: Sequence[Path]) -> str:
    names = ", ".join(str(p.relative_to(folder) if p.is_relative_to(folder) else p) for p in paths)
    page = folder / PAGE
    helps = f"{page} says how to get them" if page.is_file() else "put them there, or name others"
    return f"the data folder {str(folder)!r} has no {names}; {helps}"
