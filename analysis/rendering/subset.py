"""What of Quarto the built-in renderer honours: keys and their values, and the one refusal.

docs/rendering.md tells authors the same. What lies outside is refused with its line, never dropped.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from analysis.errors import RequestError, unknown
from analysis.study_text import Loader

# key → its type, or the values that can be honoured
Table = Mapping[str, Any]
CHUNK: Table = {
    "label": str,
    "fig-cap": str,
    "fig-alt": str | list,
    "fig-subcap": list,
    "layout-ncol": int,
    "tbl-cap": str,
    "tbl-colwidths": list,
    "echo": bool,
    "include": bool,
    "classes": str,
}
DATES = {  # date-format → how Python writes it
    "D MMMM YYYY": "{0.day} {0:%B} {0.year}",
    "long": "{0:%B} {0.day}, {0.year}",
    "iso": "{0}",
}
IN_FORMATS: Table = {"toc": bool, "toc-depth": int, "number-sections": bool}  # for both
DOCUMENT: Table = {
    **IN_FORMATS,
    "title": str,
    "subtitle": str,
    "author": str | list | dict,
    "date": str,
    "date-format": tuple(DATES),
    "abstract": str,
    "keywords": list,
    "lang": ("en", "en-GB", "en-US"),
    "bibliography": str,
    "fig-width": float,
    "fig-height": float,
    "execute": dict,
    "format": dict,
    "metadata-files": list,
    "project": dict,
    "quarto-required": str,
}
EXECUTE: Table = {"echo": bool, "warning": bool, "include": bool, "daemon": (False,)}
FORMATS: Mapping[str, Table] = {
    "html": {
        **IN_FORMATS,
        "echo": bool,
        "output-file": ("report.html",),
        "theme": dict,
        "respect-user-color-scheme": (True,),
        "embed-resources": (True,),
        "html-math-method": ("mathml",),
        "toc-location": ("left",),
        "grid": dict,
        "code-fold": bool,
        "fig-format": ("svg",),
        "format-links": (False,),
    },
    "typst": {
        **IN_FORMATS,
        "echo": bool,
        "output-file": ("report.pdf",),
        "papersize": ("a4",),
        "margin": dict,
        "mainfont": ("Libertinus Serif", "New Computer Modern", "DejaVu Sans Mono"),
        "fontsize": str,
        "section-numbering": str,
        "page-numbering": str,
        "citeproc": (True,),
        "linkcolor": str,
        "fig-format": ("svg",),
        "include-in-header": str,
    },
}
AUTHOR: Table = {"name": str, "affiliation": str | list, "affiliations": str | list}
_NAMED = {
    str: "text",
    bool: "true, false",
    int: "a whole number from 1",
    float: "a number above 0",
    list: "a list",
    dict: "`key: value` lines",
}


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
        if not _fits(value, table[key]):
            raise outside(at(key), f"value of {key}", value, _named(table[key]))


def _fits(value: Any, allowed: Any) -> bool:
    if isinstance(allowed, tuple):
        return any(value == one and type(value) is type(one) for one in allowed)
    if isinstance(value, bool) or allowed is bool:
        return isinstance(value, bool) and allowed is bool
    if allowed in (int, float):
        return isinstance(value, int if allowed is int else int | float) and value > 0
    return isinstance(value, allowed)


def _named(allowed: Any) -> list[str]:
    if isinstance(allowed, tuple):
        return [str(one) if isinstance(one, str) else str(one).lower() for one in allowed]
    return [_NAMED[kind] for kind in get_args(allowed) or [allowed]]


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
