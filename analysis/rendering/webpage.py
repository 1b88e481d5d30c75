"""report.html: one file that loads nothing, styled by the same SCSS that Quarto compiles."""

import re
from pathlib import Path

import sass

from analysis.errors import RequestError
from analysis.rendering import pandoc_run
from analysis.rendering.markdown import Markdown
from analysis.rendering.settings import Settings
from analysis.rendering.subset import Place, outside, text_of

_PAGE = Path(__file__).parent / "page"
_LAYER = re.compile(r"^/\*--\s*scss:(\w+)\s*--\*/\s*$", re.MULTILINE)
_SCHEMES = ("light", "dark")
_COLOURS = {  # of a theme that leaves them out
    "light": ("#fff", "#1d2129", "#1f4e8c", "#f2f4f7"),
    "dark": ("#14171c", "#d9dde3", "#8ab4f0", "#1e232b"),
}
_FONTS = """
$code-block-bg: $code-bg !default;
$font-family-sans-serif: system-ui, sans-serif !default;
$headings-font-family: $font-family-sans-serif !default;
$font-size-root: 17px !default;
$line-height-base: 1.6 !default;
"""


def write(document: Markdown, settings: Settings, work: Path, path: Path) -> list[str]:
    """The page made of the document, at `path`; no character is missing from it."""
    given = settings.html
    page = pandoc_run.convert(
        document,
        work,
        to="html5",
        template=_PAGE / "page.html",
        variables={
            "several-authors": len(document.meta["by-author"]) > 1,
            "affiliated": any(author["affiliations"] for author in document.meta["by-author"]),
            "script": (_PAGE / "page.js").read_text(encoding="utf-8"),
            **{f"style-{scheme}": stylesheet(settings, scheme) for scheme in _SCHEMES},
        },
        options={
            **settings.bibliography(),
            "html-math-method": {"method": "mathml"},
            "section-divs": True,
            "number-sections": given.get("number-sections", False),
            "toc": given.get("toc", False),
            "toc-depth": given["toc-depth"],
        },
        environment={},
    )
    path.write_text(page, encoding="utf-8")
    return []


def stylesheet(settings: Settings, scheme: str) -> str:
    """The CSS of the `light` or `dark` theme: its layers around our base, compiled."""
    names = settings.html.get("theme", {}).get(scheme, [])
    listed = [names] if isinstance(names, str) else names
    layers = [_layers(settings.file("theme", str(name))) for name in listed]
    defaults, rules = (
        "\n".join(layer.get(part, "") for layer in layers) for part in ("defaults", "rules")
    )
    base = (_PAGE / "base.scss").read_text(encoding="utf-8")
    colours = zip(("body-bg", "body-color", "link-color", "code-bg"), _COLOURS[scheme], strict=True)
    fallback = "\n".join(f"${name}: {colour} !default;" for name, colour in colours) + _FONTS
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


def _layers(path: Path) -> dict[str, str]:
    """A Quarto SCSS file's parts by name: `defaults`, `rules`."""
    pieces = _LAYER.split(text_of(path))
    parts = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    if refused := sorted(set(parts) - {"defaults", "rules"}):
        allowed = ("scss:defaults", "scss:rules")
        raise outside(Place(path.name, 1), "layer of styles", f"scss:{refused[0]}", allowed)
    return parts
