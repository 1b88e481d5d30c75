"""One Markdown text for each format, made from the executed document."""

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import RequestError
from analysis.rendering.execute import Executed
from analysis.rendering.settings import Settings
from analysis.rendering.source import INLINE, Chunk, Place, Prose, Source, visible_lines

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
MADE = "made-by-chunks"  # stands for the folder of figures, whose own path may hold any character
_IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_PREFERRED = {
    "html": ("text/html", "text/markdown", *_IMAGES, "text/plain"),
    "typst": ("text/markdown", *_IMAGES, "text/plain"),
}


@dataclass(frozen=True)
class Markdown:
    """The text for one format, and what of the author's document each part of it comes from."""

    head: str  # the metadata, as YAML between `---` lines
    parts: tuple[tuple[Prose | Chunk, str], ...]
    source: Source

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
        """Where `needle` stands as a word: in prose, else in what a chunk gave, else in code."""
        before, after = (r"(?<![\w-])" if needle[:1].isalnum() else "", r"(?![\w-])")
        word = re.compile(before + re.escape(needle) + (after if needle[-1:].isalnum() else ""))
        return self._first(word.search) or self.source.front.place

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
    """Where and for which format outputs are written."""

    kind: str  # html or typst
    settings: Settings
    figures: Path


def document(
    source: Source,
    executed: Executed,
    settings: Settings,
    meta: dict[str, Any],
    kind: str,
    figures: Path,
) -> Markdown:
    """The whole text for `kind` (`html`, `typst`); figures go to the folder `figures`."""
    writer = _Writer(kind, settings, figures)
    parts = tuple(
        (part, _cell(writer, part, result, number) if isinstance(part, Chunk) else result)
        for number, (part, result) in enumerate(executed.parts, 1)
    )
    return Markdown(_head(meta), parts, source)


def unexecuted(source: Source, meta: dict[str, Any]) -> Markdown:
    """The author's prose before anything runs: expressions stand as words, chunks are left out."""
    parts = tuple(
        (part, INLINE.sub(_word, part.text) if isinstance(part, Prose) else "")
        for part in source.parts
    )
    return Markdown(_head(meta), parts, source)


def written(source: Source, executed: Executed, meta: dict[str, Any]) -> Markdown:
    """The author's prose with its values, and what chunks gave as Markdown."""
    parts = tuple(
        (part, result if isinstance(part, Prose) else "\n\n".join(_of_markdown(part, result)))
        for part, result in executed.parts
    )
    return Markdown(_head(meta), parts, source)


def _of_markdown(chunk: Chunk, outputs: list[Any]) -> Iterator[str]:
    """The outputs that are shown and that pandoc reads as they are."""
    mode = chunk.options.get("output", True)
    if mode is False or not chunk.options.get("include", True):
        return
    for output in outputs:
        if output["output_type"] == "stream":
            if mode == "asis" and output["name"] == "stdout":
                yield output["text"]
        elif "text/markdown" in output.get("data", {}):
            yield str(output["data"]["text/markdown"])


def _word(expression: re.Match[str]) -> str:
    return f"{expression[1]}value" + "\n" * expression[2].count("\n")


def _head(meta: dict[str, Any]) -> str:
    dumped = yaml.safe_dump(meta, allow_unicode=True, sort_keys=False, width=1_000_000)
    return f"---\n{dumped}---\n"


def _cell(writer: _Writer, chunk: Chunk, outputs: list[Any], number: int) -> str:
    """A chunk's code (if shown) and what it gave, in a `.cell` div."""
    given = chunk.options
    if not given.get("include", writer.settings.execute.get("include", True)):
        return ""
    inner = []
    if given.get("echo", _default_echo(writer)):
        inner.append(_code(writer, chunk))
    shown = _shown(writer, chunk, outputs, number)
    if chunk.kind:
        if not shown:
            what = "figure" if chunk.kind == "fig" else "table"
            raise RequestError(
                f"{chunk.place}: {chunk.label} shows nothing: end the chunk with the {what}."
            )
        inner.append(_float(chunk, shown))
    else:
        inner += shown
    if not inner:
        return ""
    classes = "".join(f" .{name}" for name in ["cell", *chunk.classes])
    label = f"#cell-{chunk.label}" if chunk.kind else (f"#{chunk.label}" if chunk.label else "")
    return _div(f"{label}{classes}".strip(), "\n\n".join(inner), 9)


def _default_echo(writer: _Writer) -> bool:
    own = getattr(writer.settings, writer.kind).get("echo")
    return bool(writer.settings.execute.get("echo", True) if own is None else own)


def _div(attributes: str, content: str, colons: int) -> str:
    fence = ":" * colons
    return f"{fence} {{{attributes}}}\n{content}\n{fence}"


def _code(writer: _Writer, chunk: Chunk) -> str:
    fold = chunk.options.get("code-fold", writer.settings.option(writer.kind, "code-fold", False))
    summary = chunk.options.get(
        "code-summary", writer.settings.option(writer.kind, "code-summary", "Code")
    )
    state = fold if isinstance(fold, str) else str(bool(fold)).lower()
    attributes = (
        f".python .cell-code code-fold={_quoted(state)} code-summary={_quoted(str(summary))}"
    )
    return _block(chunk.code, attributes)


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
    if (widths := given.get("tbl-colwidths")) and isinstance(widths, list):
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
    """The Markdown of each output that the options let through."""
    mode = chunk.options.get("output", writer.settings.execute.get("output", True))
    warn = chunk.options.get("warning", writer.settings.execute.get("warning", True))
    if mode is False:
        return []
    shown, images = [], 0
    for output in outputs:
        if output["output_type"] == "stream":
            if output["name"] == "stdout" or warn:
                shown.append(_stream(output["text"], asis=mode == "asis"))
            continue
        data = output.get("data", {})
        mime = next((name for name in _PREFERRED[writer.kind] if name in data), None)
        if mime in _IMAGES:
            images += 1
            shown.append(
                _image(writer, chunk, mime, data[mime], f"chunk-{number}-{images}", images - 1)
            )
        elif mime:
            shown.append(_text(writer, chunk.place, mime, data))
    return [text for text in shown if text.strip()]


def _stream(text: str, *, asis: bool) -> str:
    return text if asis else _div(".cell-output", _block(_ANSI.sub("", text).rstrip("\n")), 5)


def _text(writer: _Writer, place: Place, mime: str, data: dict[str, str]) -> str:
    if mime == "text/markdown":
        return str(data[mime])
    if "text/html" in data and "text/markdown" not in data:
        raise RequestError(
            f"{place}: the result shows itself as HTML only, which the PDF cannot hold: "
            "give it a _repr_markdown_ (a pipe table)."
        )
    if mime == "text/html":
        return _block(str(data[mime]), "=html")
    return _div(".cell-output", _block(_ANSI.sub("", str(data[mime]))), 5)


def _image(writer: _Writer, chunk: Chunk, mime: str, content: str, stem: str, index: int) -> str:
    """An image file in the figures folder, as a Markdown image with its description."""
    path = writer.figures / f"{stem}.{_IMAGES[mime]}"
    path.write_bytes(content.encode() if mime == "image/svg+xml" else base64.b64decode(content))
    alt = chunk.options.get("fig-alt", "")
    if isinstance(alt, list):
        alt = alt[index] if index < len(alt) else ""
    return f"![](<{MADE}/{path.name}>){{fig-alt={_quoted(str(alt))}}}"
