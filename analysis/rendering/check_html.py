"""Findings in a finished HTML page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import html

from analysis.rendering import check

_LOADING = {  # element → attributes that make a browser fetch
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "image": ("href", "{http://www.w3.org/1999/xlink}href"),
    "use": ("href", "{http://www.w3.org/1999/xlink}href"),
}
_CSS_LOAD = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])\s*((?:https?:)?//[^'\")\s]+)")
_NOT_PROSE = ("title", "script", "style", "code", "pre", "math", "svg", "template")


def html_findings(path: Path) -> Iterator[str]:
    """Lines without the file's name."""
    tree = html.parse(str(path), html.HTMLParser(encoding="utf-8", huge_tree=True)).getroot()
    if tree is None:
        yield "the file is empty: render again."
        return
    yield from _loads(tree)
    yield from _images(tree, path.parent)
    yield from _structure(tree)
    text = prose(tree)
    if len(text) < 20:
        yield "the page has no text: render again."
    yield from check.leftovers(text)
    if any(
        c.text_content().strip().lower() in check.NO_VALUES
        for c in tree.iter("td")
        if not c.find_class("data")
    ):
        yield "a table cell says nan, None or inf: print “–” and say why."


def _loads(tree: Any) -> Iterator[str]:
    for tag, attributes in _LOADING.items():
        for element in tree.iter(tag):
            for attribute in attributes:
                value = (element.get(attribute) or "").strip()
                if re.match(r"(https?:)?//", value):
                    yield f"<{tag}> loads {value[:80]} from a network: embed it, or leave it out."
    for element in tree.iter("style"):
        if found := _CSS_LOAD.search(element.text or ""):
            yield f"a style loads {found[1][:80]} from a network: embed it, or leave it out."
    for element in tree.xpath("//*[@style]"):
        if found := _CSS_LOAD.search(element.get("style")):
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
    for figure in tree.find_class("quarto-float-fig"):
        if figure.tag == "figure" and not figure.xpath(
            ".//img|.//svg|.//table|.//math|.//video|.//pre"
        ):
            caption = " ".join(figure.text_content().split())[:60]
            yield f"the figure {caption!r} shows nothing: end its chunk with the figure."
    for figure in tree.find_class("quarto-float-tbl"):
        if figure.tag == "figure" and not figure.xpath(".//table"):
            caption = " ".join(figure.text_content().split())[:60]
            yield f"the table {caption!r} shows nothing: end its chunk with the table."
    ids = {element.get("id") for element in tree.xpath("//*[@id]")}
    for link in tree.xpath("//main//a[starts-with(@href, '#')]"):
        if len(link.get("href")) > 1 and link.get("href")[1:] not in ids:
            yield f"the link to {link.get('href')} leads nowhere: correct it."


def prose(tree: Any) -> str:
    """The page's visible text: no code, formulas, styles, scripts, nor `.data`."""
    pieces: list[str] = []
    _collect(tree, pieces)
    return "".join(pieces)


def _collect(element: Any, pieces: list[str]) -> None:
    skipped = (
        not isinstance(element.tag, str)
        or element.tag in _NOT_PROSE
        or "data" in (element.get("class") or "").split()
    )
    if not skipped:
        pieces.append(element.text or "")
        for child in element:
            _collect(child, pieces)
            pieces.append(child.tail or "")
        if element.tag in (
            "p",
            "td",
            "th",
            "li",
            "div",
            "figcaption",
            "h1",
            "h2",
            "h3",
            "h4",
            "dt",
            "dd",
        ):
            pieces.append("\n")
    else:
        pieces.append(" ")
