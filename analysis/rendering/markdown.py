"""The Markdown text for both formats, made from the executed document."""

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from analysis.errors import RequestError
from analysis.rendering.document import INLINE, Chunk, Prose, Source, fence, quoted
from analysis.rendering.execute import Executed, key
from analysis.rendering.settings import Settings, metadata
from analysis.rendering.traced import Markdown

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
MADE = "made-by-chunks"  # stands for the folder of figures, whose own path may hold any character
_IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_HELD = re.compile(r"(?<=\]\()data:(image/(?:svg\+xml|png|jpeg));base64,([A-Za-z0-9+/=]+)(?=\))")
_SHOWN = ("text/markdown", *_IMAGES, "text/plain")


def executed(source: Source, done: Executed, settings: Settings, figures: Path) -> Markdown:
    """The whole text for both formats; figures go to the folder `figures`."""
    meta = metadata(settings, lambda text: INLINE.sub(partial(_value, done.front), text))
    parts = tuple(
        (part, _cell(settings, part, result, figures / f"chunk-{number}"))
        if isinstance(part, Chunk)
        else (part, result)
        for number, (part, result) in enumerate(done.parts, 1)
    )
    return Markdown(meta, parts, source)


def _value(values: dict[str, str], found: re.Match[str]) -> str:
    known = values.get(key(found))
    return found[0] if known is None else found[1] + known


def unexecuted(source: Source, meta: dict[str, Any]) -> Markdown:
    """The author's prose before anything runs: expressions stand as words, chunks by labels."""
    parts = tuple(
        (part, as_words(part.text) if isinstance(part, Prose) else _labelled(part))
        for part in source.parts
    )
    return Markdown(meta, parts, source)


def as_words(text: str) -> str:
    """The text with a word in the place of each expression, on as many lines."""
    return INLINE.sub(lambda found: f"{found[1]}value" + "\n" * found[2].count("\n"), text)


def _labelled(chunk: Chunk) -> str:
    return f"::: {{#{chunk.label}}}\n:::" if chunk.label else ""


def _cell(settings: Settings, chunk: Chunk, outputs: list[Any], stem: Path) -> str:
    """A chunk's code (if shown) and what it gave, in a `.cell` div; images are `stem`-NUMBER."""
    if not chunk.options.get("include", settings.execute.get("include", True)):
        return ""
    shown = list(_shown(chunk, outputs, settings.execute.get("warning", True), stem))
    if chunk.kind and not shown:
        what = "figure" if chunk.kind == "fig" else "table"
        said = f"{chunk.label} shows nothing: end the chunk with the {what}."
        raise RequestError(f"{chunk.place}: {said}")
    inner = [*_code(settings, chunk), *([_float(chunk, shown)] if chunk.kind else shown)]
    if not inner:
        return ""
    classes = "".join(f" .{name}" for name in ["cell", *chunk.options.get("classes", "").split()])
    label = f"#{'cell-' if chunk.kind else ''}{chunk.label}" if chunk.label else ""
    return _div(f"{label}{classes}".strip(), "\n\n".join(inner), 11)


def _code(settings: Settings, chunk: Chunk) -> Iterator[str]:
    """The code, for the formats that show it."""
    default = settings.execute.get("echo", True)
    formats = {"html": settings.html, "typst": settings.typst}
    echoed = [
        kind
        for kind, options in formats.items()
        if chunk.options.get("echo", options.get("echo", default))
    ]
    fold = str(settings.html.get("code-fold", False)).lower()
    code = _block(chunk.code, f'.python .cell-code code-fold="{fold}"')
    if len(echoed) == 1:
        yield _div(f'.content-visible when-format="{echoed[0]}"', code, 9)
    elif echoed:
        yield code


def _div(attributes: str, content: str, colons: int) -> str:
    fence = ":" * colons
    return f"{fence} {{{attributes}}}\n{content}\n{fence}"


def _block(text: str, attributes: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    mark = fence(text)
    return f"{mark} {{{attributes}}}\n{text}\n{mark}" if attributes else f"{mark}\n{text}\n{mark}"


def _float(chunk: Chunk, shown: list[str]) -> str:
    """A numbered figure or table, in the div syntax that authors can write too."""
    given, label = chunk.options, chunk.label
    attributes = f"#{label}"
    if ncol := given.get("layout-ncol"):
        attributes += f' layout-ncol="{ncol}"'
    if widths := given.get("tbl-colwidths"):
        attributes += f' tbl-colwidths="{",".join(str(width) for width in widths)}"'
    if subcaptions := given.get("fig-subcap"):
        if len(subcaptions) != len(shown):
            raise RequestError(
                f"{chunk.place}: {label} shows {len(shown)} figures and has {len(subcaptions)} "
                "entries in fig-subcap: give each figure one."
            )
        shown = [
            _div(f"#{label}-{index}", f"{figure}\n\n{_line(caption)}", 5)
            for index, (figure, caption) in enumerate(zip(shown, subcaptions, strict=True), 1)
        ]
    caption = _line(given[f"{chunk.kind}-cap"])
    return _div(attributes, "\n\n".join([*shown, caption]), 7)


def _line(caption: object) -> str:
    return " ".join(str(caption).split())


def _shown(chunk: Chunk, outputs: list[Any], warn: bool, stem: Path) -> Iterator[str]:
    """The Markdown of each output."""
    images = 0
    for output in outputs:
        if output["output_type"] == "stream":
            if output["name"] == "stdout" or warn:
                yield _printed(output["text"].rstrip("\n"))
            continue
        data = output.get("data", {})
        if "text/html" in data:
            raise RequestError(
                f"{chunk.place}: the result shows itself as HTML, which the PDF cannot hold: "
                "give it a _repr_markdown_ alone (a pipe table)."
            )
        mime = next((name for name in _SHOWN if name in data), "")
        if mime in _IMAGES:
            images += 1
            path = stem.with_name(f"{stem.name}-{images}.{_IMAGES[mime]}")
            yield _image(path, data[mime], _description(chunk, images))
        elif mime and (text := str(data[mime])).strip():
            if mime == "text/markdown":
                yield _within(text, stem)
            else:
                yield _printed(text)


def _within(text: str, stem: Path) -> str:
    """Markdown, with the images that it holds itself as files."""

    def kept(found: re.Match[str]) -> str:
        content = base64.b64decode(found[2])
        name = f"{stem.name}-{hashlib.sha256(content).hexdigest()[:12]}.{_IMAGES[found[1]]}"
        stem.with_name(name).write_bytes(content)
        return f"<{MADE}/{name}>"

    return _HELD.sub(kept, text)


def _printed(text: str) -> str:
    return _div(".cell-output", _block(_ANSI.sub("", text)), 5)


def _description(chunk: Chunk, number: int) -> str:
    """What the chunk's image of that number, from 1, says to those who do not see it."""
    given = chunk.options.get("fig-alt", "")
    return str([*given, *[""] * number][number - 1]) if isinstance(given, list) else given


def _image(path: Path, content: str, description: str) -> str:
    """An image file, as a Markdown image with its description."""
    path.write_bytes(content.encode() if path.suffix == ".svg" else base64.b64decode(content))
    return f"![](<{MADE}/{path.name}>){{fig-alt={quoted(description)}}}"
