"""report.html: one file that loads nothing, styled by the same SCSS that Quarto compiles."""

import base64
import html
import mimetypes
import re
from functools import partial
from pathlib import Path
from typing import Any

import sass

from analysis.errors import RequestError
from analysis.rendering import pandoc_run
from analysis.rendering.markdown import MADE
from analysis.rendering.settings import Settings
from analysis.rendering.subset import Place, outside, text_of
from analysis.rendering.traced import Markdown

_PAGE = Path(__file__).parent / "page"
_LAYER = re.compile(r"^/\*--\s*scss:(\w+)\s*--\*/\s*$", re.MULTILINE)
_SCHEMES = ("light", "dark")
_MADE = re.compile(rf'(?<= src="){MADE}/([\w.-]+)(?=")')


def write(document: Markdown, settings: Settings, work: Path, path: Path) -> list[str]:
    """The page made of the document, at `path`; no character is missing from it."""
    given, authors = settings.html, document.meta["by-author"]
    variables = {
        "several-authors": len(authors) > 1,
        "affiliated": any(author["affiliations"] for author in authors),
        "scholar": _scholar(document.meta) if settings.document.get("google-scholar") else [],
        "after-body": _after_body(settings),
        "script": (_PAGE / "page.js").read_text(encoding="utf-8"),
        **{f"style-{scheme}": stylesheet(settings, scheme) for scheme in _SCHEMES},
    }
    defaults = {
        **settings.bibliography(),
        "to": "html5",
        "template": str(_PAGE / "page.html"),
        "variables": variables,
        "html-math-method": {"method": "mathml"},
        "section-divs": True,
        "number-sections": given.get("number-sections", False),
        "toc": given.get("toc", False),
        "toc-depth": given["toc-depth"],
        "filters": [
            settings.file("filters", name).resolve()
            for name in given.get("filters", [])
            if name != "quarto"  # those of Quarto itself, which remakes tables with widths
        ],
    }
    page = pandoc_run.convert(document, work, defaults, {})
    path.write_text(_MADE.sub(partial(_embedded, work), page), encoding="utf-8")
    return []


def _embedded(work: Path, found: re.Match[str]) -> str:
    """The address of an image that a chunk made, as the image itself: pandoc takes its time."""
    path = work / found[1]
    kind = mimetypes.guess_type(path.name)[0]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _scholar(meta: dict[str, Any]) -> list[dict[str, str]]:
    """What `google-scholar: true` tells search engines of the paper itself, as Quarto writes it."""
    day = meta.get("date-meta", "")
    tags = [
        ("title", meta["title"]),
        ("abstract", meta.get("abstract")),
        ("keywords", ",".join(meta.get("keywords", []))),
        *(("author", author["name"]) for author in meta["by-author"]),
        *(("publication_date", day), ("cover_date", day), ("year", day[:4]), ("online_date", day)),
        ("language", meta["lang"]),
    ]
    return [
        {"name": f"citation_{name}", "content": html.escape(str(said))}
        for name, said in tags
        if said
    ]


def _after_body(settings: Settings) -> str:
    """What stands behind the text as it is: the file that `include-after-body` names."""
    name = settings.html.get("include-after-body")
    return text_of(settings.file("include-after-body", name)) if name else ""


def stylesheet(settings: Settings, scheme: str) -> str:
    """The CSS of the `light` or `dark` theme: its layers around our base, compiled."""
    names = settings.html.get("theme", {}).get(scheme, [])
    listed = [names] if isinstance(names, str) else names
    layers = [_layers(settings.file("theme", str(name))) for name in listed]
    defaults, rules = (
        "\n".join(layer.get(part, "") for layer in layers) for part in ("defaults", "rules")
    )
    base = (_PAGE / "base.scss").read_text(encoding="utf-8")
    try:
        css = str(
            sass.compile(string="\n".join([defaults, base, rules]), output_style="compressed")
        )
    except sass.CompileError as error:
        reason = str(error).split(" on line")[0].removeprefix("Error: ")
        raise RequestError(f"styles for the {scheme} theme do not compile: {reason}") from None
    # Quarto marks the body by a script; here each theme has its own sheet, right without one too
    return css.replace(f".quarto-{scheme} ", ":root ").replace("</", "<\\/")


def _layers(path: Path) -> dict[str, str]:
    """A Quarto SCSS file's parts by name: `defaults`, `rules`."""
    pieces = _LAYER.split(text_of(path))
    parts = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    if refused := sorted(set(parts) - {"defaults", "rules"}):
        allowed = ("scss:defaults", "scss:rules")
        raise outside(Place(path.name, 1), "layer of styles", f"scss:{refused[0]}", allowed)
    return parts
