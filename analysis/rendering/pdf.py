"""report.pdf: an accessible (PDF/UA-1) file by Typst, set in the fonts that Typst itself embeds."""

import re
from pathlib import Path
from typing import Any

import typst

from analysis.errors import RequestError, RunError
from analysis.rendering import pandoc_run
from analysis.rendering.settings import Settings, authors, citation_files
from analysis.rendering.source import Source

_TEMPLATE = Path(__file__).parent / "page" / "paper_template.typ"
FONTS = ("Libertinus Serif", "New Computer Modern", "DejaVu Sans Mono")


def write(text: str, source: Source, settings: Settings, work: Path, path: Path) -> None:
    """The PDF made of Markdown `text`, at `path`; `work` holds what Typst reads."""
    options: dict[str, Any] = {**citation_files(settings), "syntax-highlighting": "idiomatic"}
    header = settings.typst.get("include-in-header")
    if header:
        options["include-in-header"] = [str(_header(settings, name)) for name in _listed(header)]
    code = pandoc_run.convert(
        text,
        source,
        work,
        to="typst-citations",
        template=_TEMPLATE,
        variables=_variables(settings),
        options=options,
    )
    document = work / "report.typ"
    document.write_text(code, encoding="utf-8")
    _compile(document, path)


def _listed(given: object) -> list[str]:
    return [str(name) for name in given] if isinstance(given, list) else [str(given)]


def _header(settings: Settings, name: str) -> Path:
    path = settings.project / name
    if not path.exists():
        raise RequestError(
            f"{settings.place('include-in-header')}: include-in-header {name} is missing: "
            "create it or correct the name."
        )
    return path


def _variables(settings: Settings) -> dict[str, Any]:
    """The template's variables, ready as Typst source."""
    lang, _, region = str(settings.document.get("lang", "en")).partition("-")
    font = str(settings.typst.get("mainfont", FONTS[0]))
    if font not in FONTS:
        raise RequestError(
            f"{settings.place('mainfont')}: mainfont {font!r} is not on every machine. "
            f"Embedded are: {', '.join(FONTS)}."
        )
    variables: dict[str, Any] = {
        "papersize": str(settings.typst.get("papersize", "a4")),
        "page-margin": _margin(
            settings.place("margin"), settings.typst.get("margin", {"x": "2.5cm", "y": "2.5cm"})
        ),
        "fontsize": _length(
            settings.place("fontsize"), "fontsize", settings.typst.get("fontsize", "11pt")
        ),
        "mainfont": font,
        "language": lang,
        "plain-keywords": [_string(word) for word in _keywords(settings)],
        "plain-authors": [_string(name) for name in _names(settings)],
        "toc-depth": int(settings.number("typst", "toc-depth", 3)),
    }
    if region:
        variables["region"] = region
    if settings.option("typst", "toc", False):
        variables["toc"] = True
    if title := settings.option("typst", "toc-title"):
        variables["toc-title"] = title
    for key in ("section-numbering", "page-numbering", "linkcolor"):
        if settings.typst.get(key):
            variables[key] = _string(settings.typst[key])
    if settings.option("typst", "number-sections", False):
        variables.setdefault("section-numbering", "1.1")
    return variables


def _keywords(settings: Settings) -> list[str]:
    given = settings.document.get("keywords") or []
    return [str(word).strip() for word in (given.split(",") if isinstance(given, str) else given)]


def _names(settings: Settings) -> list[str]:
    return [author["name"] for author in authors(settings.document)]


def _string(text: object) -> str:
    """The inside of a Typst string literal."""
    return re.sub(r'[\\"]', r"\\\g<0>", str(text))


def _length(place: str, key: str, value: object) -> str:
    if not re.fullmatch(r"[\d.]+(pt|cm|mm|in|em)", str(value)):
        raise RequestError(
            f"{place}: {key} is {value!r}; it takes a length such as 10.5pt or 2.4cm."
        )
    return str(value)


def _margin(place: str, given: object) -> str:
    if not isinstance(given, dict):
        return _length(place, "margin", given)
    sides = ("x", "y", "top", "bottom", "left", "right")
    for side in given:
        if side not in sides:
            raise RequestError(f"{place}: margin {side!r} is unknown; allowed: {', '.join(sides)}.")
    return (
        "("
        + ", ".join(f"{side}: {_length(place, 'margin', value)}" for side, value in given.items())
        + ",)"
    )


def _compile(document: Path, path: Path) -> None:
    """Compile to PDF/UA-1 with embedded fonts only; a warning fails, as readers would see it."""
    try:
        _, warnings = typst.compile_with_warnings(
            document,
            output=path,
            root=document.parent,
            ignore_system_fonts=True,
            pdf_standards=["ua-1"],
        )
    except typst.TypstError as error:
        raise RunError(f"report.pdf: Typst: {_said(error)}") from error
    if warnings:
        raise RunError(f"report.pdf: Typst warns: {_said(warnings[0])}")


def _said(complaint: Any) -> str:
    """Typst's message, its hints, and the line of its source it points to."""
    parts = [complaint.message, *complaint.hints]
    if found := re.search(r"│\s*\n.*?│ (.+)", complaint.diagnostic or ""):
        parts.append(f"near: {found[1].strip()[:120]}")
    return "; ".join(parts)
