"""What of Quarto the built-in renderer honours: keys and their values, and the one refusal.

docs/rendering.md tells authors the same. What lies outside is refused with its line, never dropped.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import RequestError, unknown
from analysis.study.text import Loader

Table = dict[str, Any]


def _like(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {  # whether a value is one, and its name
    "text": (_like(r"(?s).*\S.*"), "text"),
    "texts": (lambda value: isinstance(value, str | list), "text, or a list"),
    "list": (lambda value: isinstance(value, list), "a list"),
    "mapping": (lambda value: isinstance(value, dict), "`key: value` lines"),
    "author": (lambda value: isinstance(value, str | list | dict), "a name, or a list"),
    "switch": (lambda value: isinstance(value, bool), "true, false"),
    "whole": (lambda value: type(value) is int and value > 0, "a whole number from 1"),
    "number": (lambda value: type(value) in (int, float) and value > 0, "a number above 0"),
    "length": (_like(r"[\d.]+(pt|cm|mm|in)"), "a length, as 10.5pt or 2.4cm"),
    "day": (_like(r"today|\d{4}-\d\d-\d\d"), "today, or a day as 2026-01-02"),
    "label": (_like(r"[A-Za-z][\w-]*"), "letters, digits and hyphens"),
}
TABLES: dict[str, Table] = yaml.safe_load(
    Path(__file__).with_suffix(".yml").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Place:
    """A line of a file, for messages: `report.qmd:12`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def down(self, lines: int) -> "Place":
        """The place so many lines further down."""
        return Place(self.file, self.line + lines)


def outside(place: Place, what: str, given: object, allowed: Iterable[str] = ()) -> RequestError:
    """The refusal of whatever lies outside the subset, with what is allowed in its place."""
    return RequestError(
        f"{place}: {unknown(what, given, allowed)} What is offered without Quarto:"
        " docs/rendering.md."
    )


def check(given: Mapping[Any, Any], table: Table, what: str, at: Callable[[str], Place]) -> None:
    """RequestError, at the place of its key, for the first key or value outside the table."""
    for key, value in given.items():
        if key not in table:
            raise outside(at(str(key)), what, key, table)
        allowed = table[key]
        if isinstance(allowed, list):
            fits = any(value == one and type(value) is type(one) for one in allowed)
            named = [str(one) if isinstance(one, str) else str(one).lower() for one in allowed]
        else:
            is_one, name = _KINDS["mapping" if isinstance(allowed, dict) else allowed]
            fits, named = is_one(value), [name]
        if not fits:
            raise outside(at(key), f"value of {key}", value, named)
        if isinstance(allowed, dict):
            check(value, allowed, key if key == "format" else f"{key} option", at)


def settings_of(text: str, place: Place) -> dict[str, Any]:
    """YAML that begins at `place`, as a mapping; RequestError with its line for anything else."""
    try:
        content = yaml.load(text, Loader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = place.down(min(mark.line if mark else 0, text.rstrip().count("\n")))
        said = str(getattr(error, "problem", None) or "unreadable")[:100]
        raise RequestError(
            f"{at}: not YAML ({said}): write `key: value`, each key once, and a value that holds a"
            " colon in quotes."
        ) from None
    except RecursionError:
        raise RequestError(f"{place}: not YAML that can be read: nested too deep.") from None
    if not isinstance(content, dict):
        raise RequestError(f"{place}: settings and options are `key: value` lines.")
    return content


def text_of(path: Path) -> str:
    """A text file of the author's; RequestError, with the line, if it is none or missing."""
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RequestError(f"{path.name}:{line}: this is not UTF-8: save it as UTF-8.") from None
    except OSError as error:
        said = "is missing" if isinstance(error, FileNotFoundError) else f"is {error.strerror}"
        raise RequestError(f"{path} {said}: the paper is rendered from it.") from None
