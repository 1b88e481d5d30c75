"""What the paper is to look like: _quarto.yml, its profiles and the front matter, merged.

Later layers win, as under Quarto: _quarto.yml, then _quarto-NAME.yml for each profile in
QUARTO_PROFILE, then the files that the front matter names as `metadata-files`, then itself.
"""

import datetime
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import RequestError
from analysis.rendering import subset
from analysis.rendering.document import Source
from analysis.rendering.made import NOTHING_MADE, Made
from analysis.rendering.subset import Place, settings_of, text_of

_SETTINGS = subset.TABLES["setting"]
_DATES = {  # date-format → how Python writes it
    "D MMMM YYYY": "{0.day} {0:%B} {0.year}",
    "long": "{0:%B} {0.day}, {0.year}",
    "iso": "{0}",
}
_IN_FORMATS = ("toc", "toc-depth", "number-sections")
_DEFAULTS = {"lang": "en", "fig-width": 7, "fig-height": 5, "toc-depth": 3}
_TITLE_BLOCK = ("title", "subtitle", "description", "abstract", "keywords", "lang")
_ENTRY = re.compile(  # of BibTeX, with its key
    r"^[ \t]*@(?!(?:comment|string|preamble)\b)\w+\s*\{\s*([^\s,{}]+)\s*,",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True)
class Settings:
    """Merged settings: of the document, and with their defaults of each format."""

    project: Path
    document: dict[str, Any]
    html: dict[str, Any]
    typst: dict[str, Any]
    execute: dict[str, Any]
    facts: dict[str, Any]  # what metadata files say beside settings: content depends on it

    def place(self, key: str) -> Place:
        """The line of a key: in the front matter, else in _quarto.yml."""
        found = _at(self.project / "report.qmd", key)
        return _at(self.project / "_quarto.yml", key) if found.line == 1 else found

    def file(self, key: str, name: str) -> Path:
        """The file that the key names; RequestError, at its line, if there is none."""
        if not (self.project / name).is_file():
            said = f"{key} {name} is missing: create it, or correct its name."
            raise RequestError(f"{self.place(key)}: {said}")
        return self.project / name

    def bibliography(self) -> dict[str, Any]:
        """Where pandoc finds what is cited, if anything is; RequestError if it cannot be."""
        name = self.document.get("bibliography")
        return (
            {"bibliography": for_pandoc(_citable(self.file("bibliography", name)))} if name else {}
        )


def read(source: Source, made: Made = NOTHING_MADE) -> Settings:
    """The settings of the document; RequestError, with its line, for what is not honoured here.

    `made` stands in the place of files that are written for Quarto alone.
    """
    project = source.path.parent
    document: dict[str, Any] = dict(_DEFAULTS)
    for path, layer in _layers(project, source, made):
        _check(path, layer)
        document = _over(document, layer)
    formats, execute = document.pop("format", {}), document.pop("execute", {})
    common = {key: document[key] for key in _IN_FORMATS if key in document}
    html, typst = ({**common, **formats.get(kind, {})} for kind in ("html", "typst"))
    facts = {key: value for key, value in document.items() if key not in _SETTINGS}
    if "title" not in document:
        raise RequestError("report.qmd:1: no title in the front matter: add `title: …`.")
    return Settings(project, document, html, typst, execute, facts)


def _layers(project: Path, source: Source, made: Made) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Where settings stand, and what they are there; the later win."""
    profiles = re.split(r"[,\s]+", os.environ.get("QUARTO_PROFILE", ""))
    for name in ("_quarto.yml", *(f"_quarto-{profile}.yml" for profile in profiles if profile)):
        yield from _with_files(project / name, text_of(project / name), Place(name, 1), made)
    yield from _with_files(source.path, source.front.text + "\n", source.front.place, made)


def _with_files(
    path: Path, text: str, place: Place, made: Made
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The settings in `text`, and before them those of the `metadata-files` that they name."""
    layer = settings_of(text, place)
    for name in _listed(layer.get("metadata-files", [])):
        named = path.parent / str(name)
        written = made.get(str(name))
        yield (
            named,
            settings_of(text_of(named), Place(named.name, 1)) if written is None else dict(written),
        )
    yield path, layer


def _check(path: Path, layer: dict[str, Any]) -> None:
    """RequestError for the first setting outside the subset."""

    def at(key: str) -> Place:
        return _at(path, key)

    fixed = path.suffix == ".qmd" or path.name.startswith("_quarto")
    settings = {k: v for k, v in layer.items() if fixed or k in _SETTINGS}
    subset.check(settings, _SETTINGS, "setting", at)
    for author in _listed(layer.get("author", [])):
        if isinstance(author, dict):
            subset.check(author, subset.TABLES["author"], "key of an author", at)


def _over(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for key, value in upper.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _over(old, value)
        result[key] = value
    return result


def _at(path: Path, key: str) -> Place:
    """The line of the first `key:` in the file."""
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    if path.suffix == ".qmd":  # its front matter only
        text = text[: text.find("\n---", 3)]
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(rf"(^|[{{,]|-\s)\s*{re.escape(key)}\s*:", line):
            return Place(path.name, number)
    return Place(path.name, 1)


def metadata(settings: Settings, filled: Callable[[str], str]) -> dict[str, Any]:
    """What pandoc is told about the document; `filled` puts values in the place of expressions."""
    given = _filled(settings.document, filled)
    meta = {key: given[key] for key in _TITLE_BLOCK if given.get(key)}
    if "date" in given:
        day = _day(settings, given["date"])
        meta["date"] = _DATES[settings.document.get("date-format", "long")].format(day)
        meta["date-meta"] = day.isoformat()
    meta["by-author"] = [
        _author(author, settings.place("author")) for author in _listed(given.get("author", []))
    ]
    return {**meta, "link-citations": True, "conditions": settings.facts}


def _filled(value: Any, filled: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, filled) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, filled) for one in value]
    return filled(value) if isinstance(value, str) else value


def _author(author: Any, place: Place) -> dict[str, Any]:
    """Name and affiliations."""
    given = author if isinstance(author, Mapping) else {"name": str(author)}
    if not given.get("name"):
        raise RequestError(f"{place}: an author has no name: give it as `name:`.")
    places = _listed(given.get("affiliations", given.get("affiliation", [])))
    return {"name": given["name"], "affiliations": [str(place) for place in places]}


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _day(settings: Settings, given: str) -> datetime.date:
    """The date. RequestError for a day that there is none of."""
    try:
        return _today() if given == "today" else datetime.date.fromisoformat(given)
    except ValueError:
        raise RequestError(f"{settings.place('date')}: there is no day {given}.") from None


def _today() -> datetime.date:
    """The day of the render: that of SOURCE_DATE_EPOCH where files are to be the same again."""
    if (seconds := source_date()) is None:
        return datetime.date.today()
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date()


def source_date() -> int | None:
    """The seconds that SOURCE_DATE_EPOCH gives for the time of making; None for now."""
    return int(given) if (given := os.environ.get("SOURCE_DATE_EPOCH", "")).isdigit() else None


def _citable(path: Path) -> Path:
    """The path; RequestError for a key that two entries have: one would be cited for the other."""
    text = text_of(path)
    seen: dict[str, int] = {}
    for entry in _ENTRY.finditer(text):
        line = text.count("\n", 0, entry.start(1)) + 1
        if (first := seen.setdefault(entry[1], line)) != line:
            raise RequestError(
                f"{Place(path.name, line)}: the entry {entry[1]!r} stands on line {first} already:"
                " remove one, or rename it."
            )
    return path


def for_pandoc(path: Path) -> str:
    """A path as pandoc takes it where it takes addresses too."""
    return str(path).replace("%", "%25")
