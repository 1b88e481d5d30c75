"""report.pdf: an accessible (PDF/UA-1) file by Typst, in fonts that Typst and the project bring."""

import os
import re
from pathlib import Path
from typing import Any

import typst

from analysis.errors import RequestError, RunError
from analysis.rendering import fonts, pandoc_run
from analysis.rendering.markdown import Markdown
from analysis.rendering.settings import Settings, authors, citation_files, for_pandoc

_TEMPLATE = Path(__file__).parent / "page" / "paper_template.typ"
FONTS = ("Libertinus Serif", "New Computer Modern", "DejaVu Sans Mono")
_UNSET = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_TRIES = 4  # the parts of a sequence may turn out to be missing one after the other
_PAPERS = {"a3": (842, 1191), "a4": (595, 842), "a5": (420, 595), "us-letter": (612, 792)}
_UNITS = {"pt": 1, "cm": 72 / 2.54, "mm": 72 / 25.4, "in": 72, "em": 10.5}


def write(document: Markdown, settings: Settings, work: Path, path: Path) -> list[str]:
    """The PDF made of the document, at `path`; `work` holds what Typst reads.

    The characters that no font here has are named in it, as [U+1F600]; they are returned.
    """
    options: dict[str, Any] = {**citation_files(settings), "syntax-highlighting": "idiomatic"}
    header = settings.typst.get("include-in-header")
    if header:
        options["include-in-header"] = [
            for_pandoc(_header(settings, name)) for name in _listed(header)
        ]
    unset: set[str] = set()
    for _ in range(_TRIES):
        code = pandoc_run.convert(
            document,
            work,
            to="typst-citations",
            template=_TEMPLATE,
            variables=_variables(settings),
            options=options,
            environment={
                "RENDER_PAGE": _room(settings),
                "RENDER_UNSET": " ".join(sorted(f"{ord(one):x}" for one in unset)),
            },
        )
        made = work / "report.typ"
        made.write_text(code, encoding="utf-8")
        try:
            _compile(made, path)
            return sorted(unset)
        except typst.TypstError as error:
            found = _without_font(error) - unset
            if not found:
                raise RunError(f"{_place(document, error)}: Typst: {_said(error)}") from error
            unset |= found
    raise RunError("report.pdf: characters that no font has keep turning up; take them out.")


def _without_font(error: typst.TypstError) -> set[str]:
    """The characters beyond ASCII that Typst found no font for."""
    texts = _UNSET.findall(error.diagnostic or "")
    read = (re.sub(r"\\u\{(\w+)\}", lambda one: chr(int(one[1], 16)), text) for text in texts)
    return {one for text in read for one in text if ord(one) > 126 or ord(one) < 32}


def _place(document: Markdown, error: typst.TypstError) -> object:
    """The line of the author's document that Typst stumbled over."""
    return document.nearest(_near(error)) or "report.pdf"


def _room(settings: Settings) -> str:
    """Points between the margins of the page, upright and on its side, and the text's size."""
    given = settings.typst.get("margin", {"x": "2.5cm", "y": "2.5cm"})
    sides = given if isinstance(given, dict) else {"x": given, "y": given}
    width, height = _PAPERS.get(str(settings.typst.get("papersize", "a4")), _PAPERS["a4"])
    left, right = (_points(sides.get(side, sides.get("x", "2.5cm"))) for side in ("left", "right"))
    size = _points(settings.typst.get("fontsize", "11pt"))
    return f"{width - left - right:.0f} {height - left - right:.0f} {size:g}"


def _points(length: object) -> float:
    found = re.fullmatch(r"([\d.]+)([a-z]+)", str(length))
    return float(found[1]) * _UNITS.get(found[2], 1) if found else 0.0


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
    """Compile to PDF/UA-1 with the fonts above only; a warning fails, as readers would see it."""
    _, warnings = typst.compile_with_warnings(
        document,
        output=path,
        root=document.parent,
        font_paths=fonts.folders(),
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=_timestamp(),
    )
    if warnings:
        raise RunError(f"report.pdf: Typst warns: {_said(warnings[0])}")


def _timestamp() -> int | None:
    """The seconds that SOURCE_DATE_EPOCH gives for the time of making; None for now."""
    return int(given) if (given := os.environ.get("SOURCE_DATE_EPOCH", "")).isdigit() else None


def _near(complaint: Any) -> str:
    """The line of Typst's source that a complaint points to."""
    found = re.search(r"│\s*\n.*?│ (.+)", complaint.diagnostic or "")
    return found[1].strip() if found else ""


def _said(complaint: Any) -> str:
    """Typst's message, its hints, and the line of its source it points to."""
    if "missing alt text" in str(complaint.message):
        return (
            "an image has no description: add `#| fig-alt: …` to its chunk,"
            ' or {fig-alt="…"} behind it'
        )
    near = _near(complaint)
    parts = [complaint.message, *complaint.hints, *([f"near: {near[:120]}"] if near else [])]
    return "; ".join(parts)
