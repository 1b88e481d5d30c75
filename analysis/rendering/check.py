"""What a finished paper must not hold: findings in its HTML and PDF, one line each.

python -m analysis.rendering.check FILE…       exit status 1 if anything is found
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lxml import html
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from analysis.rendering.leftovers import NO_VALUES, leftovers

_LOADED = (  # what a browser fetches
    "//@src | //@srcset | //@poster | //link/@href | //object/@data"
    " | //image/@href | //use/@href | //@*[name() = 'xlink:href']"
)
_CSS_LOAD = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])\s*((?:https?:)?//[^'\")\s]+)")
_CODE = ("title", "script", "style", "code", "pre", "math", "svg", "template")
_BLOCKS = ("p", "td", "th", "li", "div", "figcaption", "h1", "h2", "h3", "h4", "dt", "dd")
_FLOATS = (
    ("fig", "figure", ".//img|.//svg|.//table|.//math|.//video|.//pre"),
    ("tbl", "table", ".//table"),
)
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")
# pandoc sets the key of a citation that it does not know in bold, with a question mark
_UNKNOWN_CITATION = re.compile(r"(?:\(|; )\x02([\w:.+/-]+)\?\x03[);]")


def findings(path: Path) -> list[str]:
    """What is wrong with the finished file, a line each; an empty list if nothing is."""
    kinds = {".html": _in_page, ".pdf": _in_pdf}
    search = kinds.get(path.suffix, lambda _: iter(()))
    return [f"{path.name}: {line}" for line in search(path)]


def _tree(path: Path) -> Any:
    return html.parse(str(path), html.HTMLParser(encoding="utf-8", huge_tree=True)).getroot()


def _in_page(path: Path) -> Iterator[str]:
    tree = _tree(path)
    if tree is None:
        yield "the file is empty: render again."
        return
    yield from _loads(tree)
    yield from _images(tree, path.parent)
    yield from _structure(tree)
    text = _page_prose(tree)
    if len(text) < 20:
        yield "the page has no text: render again."
    yield from leftovers(text)
    cells = (cell for cell in tree.iter("td", "th") if not cell.find_class("data"))
    if any(cell.text_content().strip().lower() in NO_VALUES for cell in cells):
        yield "a table cell says nan, None or inf: print “–” and say why."


def _loads(tree: Any) -> Iterator[str]:
    for value in tree.xpath(_LOADED):
        if re.match(r"(https?:)?//", value.strip()):
            tag = value.getparent().tag
            yield f"<{tag}> loads {value[:80]} from a network: embed it, or leave it out."
    for style in (*tree.xpath("//style/text()"), *tree.xpath("//@style")):
        if found := _CSS_LOAD.search(style):
            yield f"a style loads {found[1][:80]} from a network: embed it, or leave it out."


def _images(tree: Any, folder: Path) -> Iterator[str]:
    for element in tree.iter("img"):
        source = (element.get("src") or "").strip()
        if not source:
            yield "an image has no source: correct its path."
        elif not re.match(r"(data:|https?:|//)", source) and not (folder / source).exists():
            yield f"the image {source[:80]} is missing: correct its path."
        elif re.fullmatch(r"data:[^,]*,", source):
            yield "an image is empty: correct the chunk that draws it."


def _structure(tree: Any) -> Iterator[str]:
    for element in tree.find_class("quarto-unresolved-ref"):
        yield f"{element.text_content()!r} refers to nothing: label its target so."
    for element in tree.xpath("//*[contains(@class, 'citation')]//strong"):
        if element.text_content().endswith("?"):
            key = element.text_content().rstrip("?")
            yield f"the bibliography does not hold {key}: add the entry, or correct the key."
    for kind, what, content in _FLOATS:
        for figure in tree.xpath(f"//figure[contains(@class, 'quarto-float-{kind}')]"):
            if not figure.xpath(content):
                caption = " ".join(figure.text_content().split())[:60]
                yield f"the {what} {caption!r} shows nothing: end its chunk with the {what}."
    ids = set(tree.xpath("//@id"))
    for link in tree.xpath("//main//a/@href[starts-with(., '#')]"):
        if len(link) > 1 and link[1:] not in ids:
            yield f"the link to {link} leads nowhere: correct it."


def _page_prose(element: Any) -> str:
    """The visible text: no code, formulas, styles, scripts, nor what is marked as data."""
    classes = (element.get("class") or "").split() if isinstance(element.tag, str) else ["data"]
    if element.tag in _CODE or "data" in classes:
        return " "
    inner = "".join(_page_prose(child) + (child.tail or "") for child in element)
    return (element.text or "") + inner + ("\n" if element.tag in _BLOCKS else "")


def _in_pdf(path: Path) -> Iterator[str]:
    try:
        read = [_runs(page) for page in PdfReader(path).pages]
    except (PyPdfError, OSError) as error:
        yield f"no readable PDF ({error}): render again."
        return
    pages, bold = [_pdf_prose(runs) for runs in read], [_with_bold(runs) for runs in read]
    if not any(page.strip() for page in pages):
        yield "the PDF has no text: render again."
    for found in _UNKNOWN_CITATION.finditer("\n".join(bold)):
        yield f"the bibliography does not hold {found[1]}: add the entry, or correct the key."
    text = "\n".join(pages)
    for shown in _data_strings(path.with_suffix(".html")):
        text = re.sub(r"\s*".join(map(_as_printed, shown)), " ", text)
    yield from leftovers(text)


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


def _pdf_prose(runs: Iterable[tuple[str, str]]) -> str:
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
    found = _tree(page).find_class("data")
    texts = {_INVISIBLE.sub("", "".join(e.text_content().split())) for e in found}
    return sorted((text for text in texts if text), key=len, reverse=True)


def main(arguments: Sequence[str]) -> int:
    """Print the findings in the named files; 1 if there are any."""
    found = [line for name in arguments for line in findings(Path(name))]
    for line in found:
        print(line, file=sys.stderr, flush=True)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
