"""Findings in a finished PDF."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lxml import html
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from analysis.rendering import check

_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")


def pdf_findings(path: Path) -> Iterator[str]:
    """Lines without the file's name."""
    try:
        read = [_runs(page) for page in PdfReader(path).pages]
    except (PyPdfError, OSError) as error:
        yield f"no readable PDF ({error}): render again."
        return
    pages, bold = [_prose(runs) for runs in read], [_with_bold(runs) for runs in read]
    if not any(page.strip() for page in pages):
        yield "the PDF has no text: render again."
    for found in _UNKNOWN_CITATION.finditer("\n".join(bold)):
        yield f"the bibliography does not hold {found[1]}: add the entry, or correct the key."
    text = "\n".join(pages)
    for shown in _data_strings(path.with_suffix(".html")):
        text = re.sub(r"\s*".join(map(_as_printed, shown)), " ", text)
    yield from check.leftovers(text)


# pandoc sets the key of a citation that it does not know in bold, with a question mark
_UNKNOWN_CITATION = re.compile(r"(?:\(|; )\x02([\w:.+/-]+)\?\x03[);]")


def _runs(page: Any) -> list[tuple[str, str]]:
    """The page's text in runs of one font: (text, the font's name)."""
    runs: list[tuple[str, str]] = []

    def visit(text: str, _cm: Any, _tm: Any, font: Any, _size: float) -> None:
        runs.append((text, str((font or {}).get("/BaseFont", ""))))

    page.extract_text(visitor_text=visit)
    return runs


def _with_bold(runs: Iterable[tuple[str, str]]) -> str:
    """The text, each run in bold between the marks \\x02 and \\x03."""
    marked = (
        f"\x02{text.strip()}\x03" if "Bold" in font and text.strip() else text
        for text, font in runs
    )
    return _INVISIBLE.sub("", "".join(marked)).replace("\x03\x02", "")


def _prose(runs: Iterable[tuple[str, str]]) -> str:
    """The text but for what is set in a monospaced font: code."""
    kept = ("\n" if "Mono" in font and text.strip() else text for text, font in runs)
    return _INVISIBLE.sub("", "".join(kept))


def _as_printed(character: str) -> str:
    """A pattern for the character, or for its number if no font has it."""
    own = re.escape(character)
    named = r"\s*".join(map(re.escape, f"[U+{ord(character):04X}]"))
    return own if character.isascii() else f"(?:{own}|{named})"


def _data_strings(page: Path) -> list[str]:
    """What the page beside the PDF marks as text from data, longest first, without spaces."""
    if not page.exists():
        return []
    tree = html.parse(str(page), html.HTMLParser(encoding="utf-8", huge_tree=True)).getroot()
    texts = {_INVISIBLE.sub("", "".join(e.text_content().split())) for e in tree.find_class("data")}
    return sorted((text for text in texts if text), key=len, reverse=True)
