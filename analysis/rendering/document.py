"""report.qmd as it is read: front matter, prose and chunks, each with the line it begins on.

What of it lies outside the subset is refused before anything runs: here what chunks and lines
show, in pandoc/subset.lua what pandoc makes of the prose.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import RequestError
from analysis.rendering import leftovers
from analysis.rendering.subset import TABLES, Place, check, outside, settings_of, text_of

_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(.*?)\s*$")
INLINE = re.compile(r"(^|[^`])`\{python\}[ \t]([^`]+)`", re.MULTILINE)  # Quarto's own
_NEARLY_INLINE = re.compile(r"(?<!`)`\{python\}(?:\s*`|[^`\s][^`]*`)")


@dataclass(frozen=True)
class Prose:
    """Markdown between chunks."""

    place: Place
    text: str


@dataclass(frozen=True)
class Chunk:
    """An executable chunk: its options, its code without them."""

    place: Place
    options: dict[str, Any]
    code: str
    code_line: int  # where `code` begins, for messages

    @property
    def label(self) -> str:
        return str(self.options.get("label", ""))

    @property
    def kind(self) -> str:
        """`fig`, `tbl` or nothing: what the label makes of the output."""
        prefix = self.label.partition("-")[0]
        return prefix if prefix in ("fig", "tbl") else ""


@dataclass(frozen=True)
class Source:
    """A parsed document: `front` is the text between the `---` lines."""

    path: Path
    text: str
    front: Prose
    parts: tuple[Prose | Chunk, ...]

    @property
    def chunks(self) -> list[Chunk]:
        return [part for part in self.parts if isinstance(part, Chunk)]


def read(path: Path) -> Source:
    """The document at `path`; RequestError with its line for what cannot be read."""
    return parsed(path, text_of(path))


def parsed(path: Path, text: str) -> Source:
    """The same of a text that was read already."""
    lines = text.removesuffix("\n").split("\n")  # strings may hold Python's other line breaks
    front, start = _front_matter(path.name, lines)
    return Source(path, text, front, tuple(_parts(path.name, lines, start)))


def _front_matter(name: str, lines: list[str]) -> tuple[Prose, int]:
    """The front matter and the index of the first line after it."""
    if lines[0].rstrip() != "---":
        raise RequestError(f"{name}:1: no front matter: begin with `---`, `title: …`, `---`.")
    for index, line in enumerate(lines[1:], 1):
        if line.rstrip() in ("---", "..."):
            return Prose(Place(name, 2), "\n".join(lines[1:index])), index + 1
    raise RequestError(f"{name}:1: the front matter never ends: close it with `---`.")


def _parts(name: str, lines: list[str], start: int) -> Iterator[Prose | Chunk]:
    """Prose and chunks in order; ordinary code blocks belong to the prose."""
    prose_start, index = start, start
    while index < len(lines):
        fence = _FENCE.match(lines[index])
        if not fence:
            index += 1
            continue
        end = _closing(name, lines, index, fence[2])
        if _is_chunk(Place(name, index + 1), lines[index], fence[3]):
            yield from _prose(name, lines, prose_start, index)
            yield _chunk(Place(name, index + 1), lines[index + 1 : end])
            prose_start = end + 1
        index = end + 1
    yield from _prose(name, lines, prose_start, len(lines))


def _prose(name: str, lines: list[str], start: int, end: int) -> Iterator[Prose]:
    text = "\n".join(lines[start:end])
    if text.strip():
        yield Prose(Place(name, start + 1), text)


def _closing(name: str, lines: list[str], start: int, mark: str) -> int:
    closing = re.compile(rf"^\s*{re.escape(mark[0])}{{{len(mark)},}}\s*$")
    for index in range(start + 1, len(lines)):
        if closing.match(lines[index]):
            return index
    raise RequestError(f"{name}:{start + 1}: this code block never ends: close it with `{mark}`.")


def _is_chunk(at: Place, line: str, header: str) -> bool:
    """Whether the fence opens a Python chunk; what Quarto would run else is refused."""
    if re.fullmatch(r"`{3,}\s*\{python\}\s*", line):
        return True
    if re.match(r"\{+\w", header):
        start = "```{python} at the start of its line"
        raise outside(at, "chunk", line, [start, "```language to show code"])
    return False


def _chunk(place: Place, body: list[str]) -> Chunk:
    count = next((i for i, line in enumerate(body) if not line.startswith("#|")), len(body))
    options = "\n".join(line[2:].removeprefix(" ") for line in body[:count])
    blank = next((i for i, line in enumerate(body[count:]) if line.strip()), 0)
    code = "\n".join(body[count:]).strip("\n")
    given = settings_of(options, place.down(1))
    return Chunk(place, given, code, place.line + 1 + count + blank)


def refuse_outside(source: Source) -> None:
    """RequestError, with its line, for what of the chunks and lines lies outside the subset."""
    comment = re.compile(r"(^|[ \t])#.*$", re.MULTILINE)
    _refuse_lines(Prose(source.front.place, comment.sub("", source.front.text)))
    _refuse_unbalanced(source.parts)
    for part in source.parts:
        if isinstance(part, Prose):
            _refuse_lines(part)
        else:
            _refuse_options(part, source.text.split("\n")[part.place.line :])
            _refuse_contradictions(part)


def _refuse_options(chunk: Chunk, lines: list[str]) -> None:
    """`lines` are those from the chunk's first on."""

    def at(key: str) -> Place:
        found = (number for number, line in enumerate(lines, 1) if line[2:].strip().startswith(key))
        return chunk.place.down(next(found, 1))

    check(chunk.options, TABLES["chunk"], "chunk option", at)
    for key, value in chunk.options.items():
        if "{python}" in str(value):
            raise outside(at(key), f"value of {key}", value, ["text without inline values"])
    first = chunk.code.split("\n")[0]
    if re.match(r"\s*#\s+\|\s*[\w-]+:", first):
        place = Place(chunk.place.file, chunk.code_line)
        raise outside(place, "chunk option", first, ["#| key: value"])


def _refuse_contradictions(chunk: Chunk) -> None:
    """Captions and labels that Quarto would drop without a word."""
    given, label, at = chunk.options, chunk.label, chunk.place
    for key in ("fig-cap", "fig-subcap", "tbl-cap"):
        if key in given and chunk.kind != key[:3]:
            raise RequestError(f"{at}: {key} needs a label that begins with {key[:3]}-.")
    if chunk.kind and not str(given.get(f"{chunk.kind}-cap", "")).strip():
        raise RequestError(f"{at}: {label} has no caption: add `#| {chunk.kind}-cap: …`.")
    if chunk.kind == "fig" and not given.get("fig-alt"):
        raise RequestError(f"{at}: {label} has no description: add `#| fig-alt: …`.")
    if not chunk.code.strip():
        raise RequestError(f"{at}: the chunk is empty: remove it.")


def _refuse_lines(part: Prose) -> None:
    """RequestError for shortcodes, for what is nearly an expression, and for leftover notes."""
    written = part.text.split("\n")
    for offset, line in visible_lines(part.text):
        at = part.place.down(offset)
        if found := re.search(r"\{\{<\s*/?\w*", line):
            raise outside(at, "shortcode", found[0])
        if found := _NEARLY_INLINE.search(written[offset]):
            raise outside(at, "inline expression", found[0], ["`{python} expression`"])
        if note := leftovers.note(line):
            raise RequestError(
                f"{at}: {note!r} is a leftover note: write what is missing, or say that it is "
                f"meant: [{note}]{{.data}}."
            )


def _refuse_unbalanced(parts: tuple[Prose | Chunk, ...]) -> None:
    """RequestError for a `:::` that opens or closes nothing."""
    open_at: list[Place] = []
    for part in parts:
        for offset, line in visible_lines(part.text) if isinstance(part, Prose) else ():
            at, fence = part.place.down(offset), re.match(r"\s*:{3,}\s*(.*?)\s*:*$", line)
            if fence and fence[1]:
                open_at.append(at)
            elif fence and not open_at:
                raise RequestError(f"{at}: this ::: closes nothing: remove it.")
            elif fence:
                open_at.pop()
    if open_at:
        raise RequestError(f"{open_at[-1]}: this ::: is never closed: add a line `:::`.")


def fence(text: str) -> str:
    """A fence for a block of code, longer than any run of its marks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


def quoted(text: str) -> str:
    """The value of an attribute, as pandoc reads it back exactly."""
    text = " ".join(text.split())
    return '"' + re.sub(r'[\\"&<>{}`*_$]', lambda found: f"&#{ord(found[0])};", text) + '"'


def visible_lines(text: str) -> Iterator[tuple[int, str]]:
    """(offset, line) outside code blocks and comments, code spans blanked."""
    hidden = re.sub(
        r"^(\s*)(`{3,}|~{3,})[^\n]*\n.*?^\s*\2[`~]*\s*$|<!--.*?-->",
        lambda found: "\n" * found[0].count("\n"),
        text,
        flags=re.MULTILINE | re.DOTALL,
    )
    for offset, line in enumerate(hidden.split("\n")):
        yield offset, re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", line)
