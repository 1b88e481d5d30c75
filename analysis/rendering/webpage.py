"""report.html: one file that loads nothing, styled by the same SCSS that Quarto compiles."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sass

from analysis.errors import RequestError
from analysis.rendering import pandoc_run
from analysis.rendering.markdown import Markdown
from analysis.rendering.settings import Settings, authors, citation_files

_PAGE = Path(__file__).parent / "page"
_LAYER = re.compile(r"^/\*--\s*scss:(\w+)\s*--\*/\s*$", re.MULTILINE)


def write(document: Markdown, settings: Settings, work: Path, path: Path) -> list[str]:
    """The page made of the document, at `path`; no character is missing from it."""
    page = pandoc_run.convert(
        document,
        work,
        to="html5",
        template=_PAGE / "page.html",
        variables=_variables(settings),
        options={
            **citation_files(settings),
            "html-math-method": {"method": "mathml"},
            "section-divs": True,
            "number-sections": bool(settings.option("html", "number-sections", False)),
            "toc": bool(settings.option("html", "toc", False)),
            "toc-depth": int(settings.number("html", "toc-depth", 3)),
        },
        environment={},
    )
    path.write_text(page, encoding="utf-8")
    return []


def _variables(settings: Settings) -> dict[str, Any]:
    listed = authors(settings.document)
    variables: dict[str, Any] = {
        "several-authors": len(listed) > 1,
        "affiliated": any(author.get("affiliations") for author in listed),
    }
    variables["style-light"] = stylesheet(settings, "light")
    variables["style-dark"] = stylesheet(settings, "dark")
    variables["script"] = (_PAGE / "page.js").read_text(encoding="utf-8")
    if title := settings.option("html", "toc-title"):
        variables["toc-title"] = title
    return variables


def stylesheet(settings: Settings, scheme: str) -> str:
    """The CSS of the `light` or `dark` theme: its layers around our base, compiled."""
    layers = [_layers(settings.project / name) for name in _theme(settings, scheme)]
    base = (_PAGE / "base.scss").read_text(encoding="utf-8")
    defaults = "\n".join(layer.get("defaults", "") for layer in layers)
    rules = "\n".join(layer.get("rules", "") for layer in layers)
    fallback = _fallbacks(scheme)
    try:
        css = str(
            sass.compile(
                string="\n".join([defaults, fallback, base, rules]), output_style="compressed"
            )
        )
    except sass.CompileError as error:
        reason = str(error).split(" on line")[0].removeprefix("Error: ")
        raise RequestError(f"styles for the {scheme} theme do not compile: {reason}") from None
    # Quarto marks the body by a script; here each theme has its own sheet, right without one too
    return css.replace(f".quarto-{scheme} ", ":root ").replace("</", "<\\/")


def _theme(settings: Settings, scheme: str) -> Sequence[str]:
    theme = settings.html.get("theme") or []
    names = theme.get(scheme, []) if isinstance(theme, dict) else theme
    names = [names] if isinstance(names, str) else names
    for name in names:
        if not str(name).endswith(".scss"):
            raise RequestError(
                f"{settings.place('theme')}: theme {name!r} is Quarto's own and loads from a "
                "network: use .scss files."
            )
        if not (settings.project / name).exists():
            raise RequestError(
                f"{settings.place('theme')}: theme {name} is missing: create it or correct it."
            )
    return list(names)


def _layers(path: Path) -> dict[str, str]:
    """A Quarto SCSS file's parts by name: `defaults`, `rules`."""
    pieces = _LAYER.split(path.read_text(encoding="utf-8"))
    parts = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    if refused := sorted(set(parts) - {"defaults", "rules"}):
        raise RequestError(
            f"{path.name}: scss:{refused[0]} is not offered: use scss:defaults and scss:rules."
        )
    return parts


def _fallbacks(scheme: str) -> str:
    """Colours and fonts for a theme that leaves them out."""
    colours = (
        ("#14171c", "#d9dde3", "#8ab4f0", "#1e232b")
        if scheme == "dark"
        else ("#fff", "#1d2129", "#1f4e8c", "#f2f4f7")
    )
    names = ("body-bg", "body-color", "link-color", "code-bg")
    lines = [f"${name}: {value} !default;" for name, value in zip(names, colours, strict=True)]
    lines += [
        "$code-block-bg: $code-bg !default;",
        "$font-family-sans-serif: system-ui, sans-serif !default;",
        "$headings-font-family: $font-family-sans-serif !default;",
        "$font-size-root: 17px !default;",
        "$line-height-base: 1.6 !default;",
    ]
    return "\n".join(lines)
