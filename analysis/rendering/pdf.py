"""report.pdf: an accessible (PDF/UA-1) file by Typst, in fonts that Typst and the project bring."""

import re
from pathlib import Path
from typing import Any

import typst

from analysis.errors import RunError
from analysis.rendering import fonts, pandoc_run
from analysis.rendering.settings import Settings, for_pandoc, source_date
from analysis.rendering.traced import Markdown

_TEMPLATE = Path(__file__).parent / "page" / "paper_template.typ"
_UNSET = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_TRIES = 4  # the parts of a sequence may turn out to be missing one after the other
_PAGE = (595, 842)  # points of A4
_UNITS = {"pt": 1, "cm": 72 / 2.54, "mm": 72 / 25.4, "in": 72}
_STRINGS = ("section-numbering", "page-numbering", "linkcolor")


def write(document: Markdown, settings: Settings, work: Path, path: Path) -> list[str]:
    """The PDF made of the document, at `path`; `work` holds what Typst reads.

    The characters that no font here has are named in it, as [U+1F600]; they are returned.
    """
    variables, room = _variables(settings, document.meta)
    defaults: dict[str, Any] = {
        **settings.bibliography(),
        "to": "typst-citations",
        "template": str(_TEMPLATE),
        "variables": variables,
        "syntax-highlighting": "idiomatic",
    }
    if header := settings.typst.get("include-in-header"):
        defaults["include-in-header"] = [for_pandoc(settings.file("include-in-header", header))]
    unset: set[str] = set()
    for _ in range(_TRIES):
        points = " ".join(sorted(f"{ord(one):x}" for one in unset))
        given = {"RENDER_PAGE": room, "RENDER_UNSET": points}
        code = pandoc_run.convert(document, work, defaults, given)
        made = work / "report.typ"
        made.write_text(code, encoding="utf-8")
        try:
            _compile(made, path)
            return sorted(unset)
        except typst.TypstError as error:
            found = _without_font(error) - unset
            if not found:
                place = document.nearest(_near(error)) or path.name
                raise RunError(f"{place}: Typst: {_said(error)}") from error
            unset |= found
    raise RunError("report.pdf: characters that no font has keep turning up; take them out.")


def _without_font(error: typst.TypstError) -> set[str]:
    """The characters beyond ASCII that Typst found no font for."""
    texts = _UNSET.findall(error.diagnostic or "")
    read = (re.sub(r"\\u\{(\w+)\}", lambda one: chr(int(one[1], 16)), text) for text in texts)
    return {one for text in read for one in text if ord(one) > 126 or ord(one) < 32}


def _variables(settings: Settings, meta: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The template's variables, ready as Typst source, and the room that tables have: points
    between the margins, and the text's size."""
    given = settings.typst
    margin = given.get("margin", {"x": "2.5cm", "y": "2.5cm"})
    points = {side: _points(length) for side, length in margin.items()}
    size = given.get("fontsize", "11pt")
    sides = sum(points.get(side, points.get("x", 71)) for side in ("left", "right"))
    lang, _, region = meta["lang"].partition("-")
    variables = {
        "page-margin": "(" + ", ".join(f"{side}: {margin[side]}" for side in margin) + ",)",
        "fontsize": size,
        "mainfont": given.get("mainfont", "Libertinus Serif"),
        "language": lang,
        "region": region,
        "plain-keywords": [_string(word) for word in meta.get("keywords", [])],
        "plain-authors": [_string(author["name"]) for author in meta["by-author"]],
        "toc": given.get("toc", False),
        "toc-depth": given["toc-depth"],
        **{key: _string(given[key]) for key in _STRINGS if key in given},
    }
    if given.get("number-sections"):
        variables.setdefault("section-numbering", "1.1")
    return variables, f"{_PAGE[0] - sides:.0f} {_points(size):g}"


def _points(length: str) -> float:
    return float(length[:-2]) * _UNITS[length[-2:]]


def _string(text: object) -> str:
    """The inside of a Typst string literal."""
    return re.sub(r'[\\"]', r"\\\g<0>", str(text))


def _compile(document: Path, path: Path) -> None:
    """Compile to PDF/UA-1 with the fonts above only; a warning fails, as readers would see it."""
    _, warnings = typst.compile_with_warnings(
        document,
        output=path,
        root=document.parent,
        font_paths=fonts.folders(),
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=source_date(),
    )
    if warnings:
        raise RunError(f"report.pdf: Typst warns: {_said(warnings[0])}")


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
