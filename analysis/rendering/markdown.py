"""One Markdown text for each format, made from the executed document."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import RequestError
from analysis.rendering.document import INLINE, Chunk, Prose, Source, visible_lines
from analysis.rendering.execute import Executed, key
from analysis.rendering.settings import Settings, metadata
from analysis.rendering.subset import Place

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
MADE = "made-by-chunks"  # stands for the folder of figures, whose own path may hold any character
_IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_SHOWN = ("text/markdown", *_IMAGES, "text/plain")


@dataclass(frozen=True)
class Markdown:
    """The text for one format, and what of the author's document each part of it comes from."""

    meta: dict[str, Any]  # as settings.metadata makes it
    parts: tuple[tuple[Prose | Chunk, str], ...]
    source: Source

    @property
    def head(self) -> str:
        """The metadata, as YAML between `---` lines."""
        dumped = yaml.safe_dump(self.meta, allow_unicode=True, sort_keys=False, width=1_000_000)
        return f"---\n{dumped}---\n"

    @property
    def text(self) -> str:
        return "\n\n".join([self.head, *(text for _, text in self.parts)]) + "\n"

    def place(self, line: int) -> Place:
        """Where line `line` of the text comes from, counted from 1."""
        start = self.head.count("\n") + 3  # the line on which the first part begins
        for part, text in self.parts:
            if line < start + text.count("\n") + 2:
                return within(part, line - start)
            start += text.count("\n") + 2
        return self.source.front.place

    def place_of(self, needle: str) -> Place:
        """Where `needle` stands as a word: in prose, else in what a chunk gave, else in code.

        A class may stand without its dot.
        """
        for sought in (needle, needle.removeprefix(".")):
            before = r"(?<![\w-])" if sought[:1].isalnum() else ""
            after = r"(?![\w-])" if sought[-1:].isalnum() else ""
            if found := self._first(re.compile(before + re.escape(sought) + after).search):
                return found
        return self.source.front.place

    def _first(self, wanted: Callable[[str], object]) -> Place | None:
        for part, text in self.parts:
            if isinstance(part, Chunk) and wanted(text):
                own = self.source.text.split("\n")[part.place.line : part.code_line]
                offsets = (offset for offset, line in enumerate(own, 1) if wanted(line))
                return part.place.down(next(offsets, 0))
            for offset, line in visible_lines(text) if isinstance(part, Prose) else ():
                if wanted(line):
                    return within(part, offset)
        front, name = self.source.front, self.source.path.name
        for start, text in ((front.place.line, front.text), (1, self.source.text)):
            for number, shown in enumerate(text.split("\n"), start):
                if wanted(shown):
                    return Place(name, number)
        return None

    def nearest(self, code: str) -> Place | None:
        """The line that shares most words with `code`, which was made of it; None without any."""
        words = set(re.findall(r"[^\W_]{2,}", code))
        best: tuple[int, Place | None] = (0, None)
        for part, text in self.parts:
            for offset, line in enumerate(text.split("\n")):
                shared = len(words & set(re.findall(r"[^\W_]{2,}", line)))
                best = max(best, (shared, within(part, offset)), key=lambda pair: pair[0])
        return best[1]


def within(part: Prose | Chunk, offset: int) -> Place:
    """The place so many lines into a part: of a chunk's output it is the chunk's."""
    if isinstance(part, Chunk):
        return part.place
    return part.place.down(max(0, min(offset, part.text.count("\n"))))


@dataclass(frozen=True)
class _Writer:
    """With which settings outputs are written, and where their figures go."""

    options: dict[str, Any]  # of the format
    execute: dict[str, Any]
    figures: Path


def document(
    source: Source, executed: Executed, settings: Settings, kind: str, figures: Path
) -> Markdown:
    """The whole text for `kind` (`html`, `typst`); figures go to the folder `figures`."""
    writer = _Writer(getattr(settings, kind), settings.execute, figures)
    parts = tuple(
        (part, _cell(writer, part, result, number) if isinstance(part, Chunk) else result)
        for number, (part, result) in enumerate(executed.parts, 1)
    )

    def value(found: re.Match[str]) -> str:
        known = executed.front.get(key(found))
        return found[0] if known is None else found[1] + known

    meta = metadata(settings, lambda text: INLINE.sub(value, text))
    return Markdown(meta, parts, source)


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


def written(source: Source, executed: Executed, meta: dict[str, Any]) -> Markdown:
    """The author's prose with its values, and what chunks gave as Markdown."""
    parts = tuple(
        (part, result if isinstance(part, Prose) else _of_markdown(part, result))
        for part, result in executed.parts
    )
    return Markdown(meta, parts, source)


def _of_markdown(chunk: Chunk, outputs: list[Any]) -> str:
    """The outputs that are shown and that pandoc reads as they are."""
    shown = outputs if chunk.options.get("include", True) else []
    data = [output.get("data", {}) for output in shown]
    return "\n\n".join(str(one["text/markdown"]) for one in data if "text/markdown" in one)


def _labelled(chunk: Chunk) -> str:
    return f"::: {{#{chunk.label}}}\n:::" if chunk.label else ""


def _cell(writer: _Writer, chunk: Chunk, outputs: list[Any], number: int) -> str:
    """A chunk's code (if shown) and what it gave, in a `.cell` div."""
    if not chunk.options.get("include", writer.execute.get("include", True)):
        return ""
    inner = []
    echo = writer.options.get("echo", writer.execute.get("echo", True))
    if chunk.options.get("echo", echo):
        fold = str(writer.options.get("code-fold", False)).lower()
        inner.append(_block(chunk.code, f'.python .cell-code code-fold="{fold}"'))
    shown = _shown(writer, chunk, outputs, number)
    if chunk.kind and not shown:
        what = "figure" if chunk.kind == "fig" else "table"
        said = f"{chunk.label} shows nothing: end the chunk with the {what}."
        raise RequestError(f"{chunk.place}: {said}")
    inner += [_float(chunk, shown)] if chunk.kind else shown
    if not inner:
        return ""
    classes = "".join(f" .{name}" for name in ["cell", *chunk.options.get("classes", "").split()])
    label = f"#{'cell-' if chunk.kind else ''}{chunk.label}" if chunk.label else ""
    return _div(f"{label}{classes}".strip(), "\n\n".join(inner), 9)


def _div(attributes: str, content: str, colons: int) -> str:
    fence = ":" * colons
    return f"{fence} {{{attributes}}}\n{content}\n{fence}"


def _block(text: str, attributes: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return (
        f"{fence} {{{attributes}}}\n{text}\n{fence}" if attributes else f"{fence}\n{text}\n{fence}"
    )


def _quoted(text: str) -> str:
    """An attribute value that Pandoc reads back exactly."""
    text = " ".join(text.split())
    return '"' + re.sub(r'[\\"&<>{}`*_$]', lambda c: f"&#{ord(c[0])};", text) + '"'


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


def _shown(writer: _Writer, chunk: Chunk, outputs: list[Any], number: int) -> list[str]:
    """The Markdown of each output."""
    shown, images = [], 0
    for output in outputs:
        if output["output_type"] == "stream":
            if output["name"] == "stdout" or writer.execute.get("warning", True):
                shown.append(_printed(output["text"].rstrip("\n")))
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
            path = writer.figures / f"chunk-{number}-{images}.{_IMAGES[mime]}"
            shown.append(_image(path, data[mime], _description(chunk, images)))
        elif mime:
            text = str(data[mime])
            shown.append(text if mime == "text/markdown" else _printed(text))
    return [text for text in shown if text.strip()]


def _printed(text: str) -> str:
    return _div(".cell-output", _block(_ANSI.sub("", text)), 5)


def _description(chunk: Chunk, number: int) -> str:
    """What the chunk's image of that number, from 1, says to those who do not see it."""
    given = chunk.options.get("fig-alt", "")
    return str([*given, *[""] * number][number - 1]) if isinstance(given, list) else given


def _image(path: Path, content: str, description: str) -> str:
    """An image file, as a Markdown image with its description."""
    path.write_bytes(content.encode() if path.suffix == ".svg" else base64.b64decode(content))
    return f"![](<{MADE}/{path.name}>){{fig-alt={_quoted(description)}}}"
