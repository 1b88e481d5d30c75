"""What the paper is to look like: _quarto.yml, its profiles and the front matter, merged.

Later layers win, as under Quarto: _quarto.yml, then _quarto-NAME.yml for each profile in
QUARTO_PROFILE, then the front matter. A key that would change the paper under Quarto and does
nothing here is refused.
"""

import datetime
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import RequestError, unknown
from analysis.rendering import dates
from analysis.rendering.source import Place, settings_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Every key that is honoured, or that changes nothing a reader of these two files would see
_DOCUMENT = _words(
    """title subtitle author authors affiliations date date-format abstract abstract-title keywords
    description lang number-sections bibliography csl link-citations nocite toc toc-depth toc-title
    fig-width fig-height fig-format fig-dpi code-fold code-summary execute format project
    quarto-required jupyter engine profile"""
)
_BOTH = _words(
    """toc toc-depth toc-title fig-format fig-width fig-height fig-dpi output-file number-sections
    echo code-fold code-summary"""
)
_HTML = _BOTH | _words(
    """theme respect-user-color-scheme embed-resources html-math-method toc-location toc-expand grid
    format-links anchor-sections smooth-scroll code-copy code-overflow page-layout
    link-external-newwindow code-line-numbers"""
)
_TYPST = _BOTH | _words(
    """papersize margin mainfont fontsize section-numbering page-numbering citeproc linkcolor
    include-in-header pdf-standard keep-typ"""
)
_EXECUTE = _words("echo warning message include eval output daemon cache freeze enabled")
_FORMATS = {"html": _HTML, "typst": _TYPST}
_META = ("title", "subtitle", "abstract", "abstract-title", "keywords", "description", "lang")
_ENTRY = re.compile(  # of BibTeX, with its key
    r"^[ \t]*@(?!(?:comment|string|preamble)\b)\w+\s*\{\s*([^\s,{}]+)\s*,",
    re.MULTILINE | re.IGNORECASE,
)
_ONLY = {  # keys with one value that this renderer can honour
    ("html", "html-math-method"): "mathml",
    ("html", "embed-resources"): True,
    ("html", "toc-location"): "left",
    ("html", "fig-format"): "svg",
    ("typst", "fig-format"): "svg",
    ("typst", "citeproc"): True,
}


_DEPTHS = (("html", "toc-depth"), ("typst", "toc-depth"))
Layers = list[tuple[str, dict[str, Any]]]  # (file name, content), the later wins


@dataclass(frozen=True)
class Settings:
    """Merged settings: `document` without formats, and the options of each format."""

    project: Path
    document: dict[str, Any]
    html: dict[str, Any]
    typst: dict[str, Any]
    execute: dict[str, Any]

    def place(self, key: str) -> str:
        """`file:line` of a key: in the front matter, else in _quarto.yml."""
        found = _at(self.project / "report.qmd", key)
        return _at(self.project / "_quarto.yml", key) if found.endswith(":1") else found

    @property
    def figure_inches(self) -> tuple[float, float]:
        """Width and height of a figure that asks for none."""
        return self.number("html", "fig-width", 7), self.number("html", "fig-height", 5)

    def number(self, kind: str, key: str, default: float) -> float:
        """A positive number among the options; RequestError for anything else."""
        value = self.option(kind, key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise RequestError(
                f"{self.place(key)}: {key} is {value!r}; it takes a positive number."
            )
        return value

    def option(self, kind: str, key: str, default: Any = None) -> Any:
        """An option of format `html` or `typst`, falling back to the document's."""
        return getattr(self, kind).get(key, self.document.get(key, default))


def project_layers(project: Path) -> Layers:
    """(file name, content) of _quarto.yml and of the chosen profiles' files."""
    base = _layer(project, "_quarto.yml")
    chosen = re.split(r"[,\s]+", os.environ.get("QUARTO_PROFILE", "").strip())
    default = (base[1].get("profile") or {}).get("default") or []
    if chosen == [""]:
        chosen = [default] if isinstance(default, str) else default
    return [base, *(_layer(project, f"_quarto-{profile}.yml") for profile in chosen if profile)]


def _layer(project: Path, name: str) -> tuple[str, dict[str, Any]]:
    path = project / name
    if not path.exists():
        raise RequestError(f"{name} is missing in {project}: it says how the paper looks.")
    return name, _mapping(path.read_text(encoding="utf-8-sig"), Place(name, 1))


def _mapping(text: str, place: Place) -> dict[str, Any]:
    return settings_of(text, place, "settings are `key: value` lines.")


def merged(project: Path, layers: Layers, front: str) -> Settings:
    """The settings of report.qmd whose front matter (expressions filled in) is `front`."""
    document: dict[str, Any] = {}
    for name, layer in [*layers, ("report.qmd", _mapping(front + "\n", Place("report.qmd", 2)))]:
        _refuse_unknown(project / name, layer)
        document = _over(document, layer)
    formats: dict[str, Any] = document.pop("format", {})
    execute: dict[str, Any] = document.pop("execute", {})
    settings = Settings(
        project,
        document,
        {} if formats.get("html") in (None, "default") else formats["html"],
        {} if formats.get("typst") in (None, "default") else formats["typst"],
        execute,
    )
    _check_values(settings)
    return settings


def _over(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for key, value in upper.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _over(old, value)
        result[key] = value
    return result


def _refuse_unknown(path: Path, layer: dict[str, Any]) -> None:
    """RequestError for the first key that this renderer does not know."""
    groups: list[tuple[dict[str, Any], Iterable[str], str]] = [
        (layer, _DOCUMENT, "setting"),
        (layer.get("execute") or {}, _EXECUTE, "execute option"),
    ]
    formats = layer.get("format") or {}
    if not isinstance(formats, dict):
        raise RequestError(
            f"{_at(path, 'format')}: format lists html: and typst: with their options."
        )
    groups.append((formats, _FORMATS, "format"))
    for kind, allowed in _FORMATS.items():
        if isinstance(formats.get(kind), dict):
            groups.append((formats[kind], allowed, f"{kind} option"))
    for given, known, what in groups:
        for key in given:
            if key not in known:
                raise RequestError(f"{_at(path, str(key))}: {unknown(what, key, known)}")


def _at(path: Path, key: str) -> str:
    """`file:line` of the first `key:` in the file."""
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    if path.suffix == ".qmd":  # its front matter only
        text = text[: text.find("\n---", 3)]
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(rf"(^|[{{,])\s*{re.escape(key)}\s*:", line):
            return f"{path.name}:{number}"
    return f"{path.name}:1"


def _check_values(settings: Settings) -> None:
    for (kind, key), only in _ONLY.items():
        value = getattr(settings, kind).get(key, only)
        if value != only:
            raise RequestError(
                f"{settings.place(key)}: {kind} option {key} is {value!r}; "
                f"the built-in renderer offers {only!r} only."
            )
    for kind, key in (("html", "fig-width"), ("html", "fig-height"), *_DEPTHS):
        settings.number(kind, key, 1)
    if not str(settings.document.get("title", "")).strip():
        raise RequestError("report.qmd:1: no title in the front matter: add `title: …`.")
    lang = str(settings.document.get("lang", "en"))
    if not lang.startswith("en"):
        raise RequestError(f"{settings.place('lang')}: lang is {lang!r}; use en or en-GB.")
    for key in ("cache", "freeze"):
        if settings.execute.get(key):
            raise RequestError(
                f"{settings.place(key)}: execute: {key} keeps stale results: remove it."
            )


def metadata(settings: Settings, today: datetime.date) -> dict[str, Any]:
    """What pandoc is told about the document: the title block and how to cite."""
    given = settings.document
    kept = (*_META, "nocite")
    meta: dict[str, Any] = {key: given[key] for key in kept if given.get(key) is not None}
    meta.setdefault("lang", "en")
    meta["link-citations"] = given.get("link-citations", True)
    if isinstance(meta.get("keywords"), str):
        meta["keywords"] = [word.strip() for word in meta["keywords"].split(",")]
    if given.get("date") is not None:
        meta["date"] = dates.formatted(
            given["date"], given.get("date-format"), today, place=settings.place
        )
    meta["by-author"] = authors(given)
    if not all(author["name"] for author in meta["by-author"]):
        raise RequestError(
            f"{settings.place('author')}: an author has no name: give it as `name:`."
        )
    return meta


def citation_files(settings: Settings) -> dict[str, Any]:
    """The bibliography and the CSL style as pandoc's options; RequestError for a missing file."""
    options: dict[str, Any] = {}
    for key in ("bibliography", "csl"):
        given = settings.document.get(key) or []
        paths = [settings.project / name for name in ([given] if isinstance(given, str) else given)]
        for path in paths:
            if not path.exists():
                raise RequestError(
                    f"{settings.place(key)}: {key} {path.name} is missing: create it or correct it."
                )
            if path.suffix.lower() == ".bib":
                _refuse_twin_entries(path)
        if paths:
            named = [for_pandoc(path) for path in paths]
            options[key] = named if key == "bibliography" else named[0]
    return options


def _refuse_twin_entries(path: Path) -> None:
    """RequestError for a key that two entries have, of which one would be cited for the other."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RequestError(
            f"{Place(path.name, line)}: this is not UTF-8: save it as UTF-8."
        ) from None
    seen: dict[str, int] = {}
    for entry in _ENTRY.finditer(text):
        line = text.count("\n", 0, entry.start(1)) + 1
        if (first := seen.setdefault(entry[1], line)) != line:
            raise RequestError(
                f"{Place(path.name, line)}: the entry {entry[1]!r} stands on line {first} already:"
                " remove one, or rename it."
            )


def for_pandoc(path: Path) -> str:
    """A path as pandoc takes it where it takes addresses too."""
    return str(path).replace("%", "%25")


def authors(given: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry an author: name, affiliations, email, orcid."""
    listed = given.get("author", given.get("authors")) or []
    named = {
        str(place.get("id")): place
        for place in given.get("affiliations") or []
        if isinstance(place, dict)
    }
    return [_author(author, named) for author in (listed if isinstance(listed, list) else [listed])]


def _author(author: Any, named: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(author, dict):
        return {"name": str(author)}
    name = author.get("name", "")
    if isinstance(name, dict):
        name = name.get("literal") or f"{name.get('given', '')} {name.get('family', '')}".strip()
    places = author.get("affiliations", author.get("affiliation")) or []
    entry: dict[str, Any] = {"name": str(name)}
    entry["affiliations"] = [
        _affiliation(place, named) for place in (places if isinstance(places, list) else [places])
    ]
    for key in ("email", "orcid"):
        if author.get(key):
            entry[key] = str(author[key])
    return entry


def _affiliation(place: Any, named: dict[str, Any]) -> str:
    """An affiliation as text: department, name, city, country."""
    if isinstance(place, dict) and "ref" in place:
        place = named.get(str(place["ref"]))
        if place is None:
            raise RequestError(
                "report.qmd:2: an author's affiliation `ref` names no entry of `affiliations`."
            )
    if isinstance(place, dict):
        parts = [place.get(key) for key in ("department", "name", "city", "country")]
        return ", ".join(str(part) for part in parts if part)
    return str(place)
