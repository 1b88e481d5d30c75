"""The one execution, for all formats: chunks and inline expressions, in order, in one kernel."""

import ast
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.errors import RequestError, RunError
from analysis.rendering import kernel
from analysis.rendering.document import INLINE, Chunk, Prose, Source
from analysis.rendering.kernel import ChunkError, Kernel, said
from analysis.rendering.subset import Place

Progress = Callable[[str], None]
# what Quarto escapes in plain strings, and what else Markdown or a table's row reads as its own
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]()>#+\-.!|~^$@<])")
_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?")  # which may stand in a formula


@dataclass(frozen=True)
class Executed:
    """The document with its values: of the front matter's expressions, and of each part."""

    front: dict[str, str]  # expression → Markdown
    parts: tuple[tuple[Prose | Chunk, Any], ...]  # Prose → text, Chunk → list of Jupyter outputs


def execute(source: Source, inches: tuple[float, float], progress: Progress) -> Executed:
    """Run the document once; front-matter expressions come before every chunk, as under Quarto.

    Figures that ask for no size have `inches`. RunError with its line for what raises,
    RequestError for a value that cannot be shown.
    """
    if not source.chunks and not INLINE.search(source.text):
        return Executed({}, tuple((p, p.text) for p in source.parts if isinstance(p, Prose)))
    progress("render  starting Python")
    parts: list[tuple[Prose | Chunk, Any]] = []
    with kernel.running(source.path.parent, *inches) as python:
        front, done = dict(_values(python, source.front)), 0
        for part in source.parts:
            if isinstance(part, Prose):
                parts.append((part, _with_values(python, part)))
            else:
                done += 1
                label = f" ({part.label})" if part.label else ""
                progress(f"render  executing chunk {done} of {len(source.chunks)}{label}")
                parts.append((part, _outputs(python, part)))
    return Executed(front, tuple(parts))


def _with_values(python: Kernel, part: Prose) -> str:
    """The text with each inline expression replaced by its value."""
    values = (value for _, value in _values(python, part))
    return INLINE.sub(lambda found: found[1] + next(values), part.text)


def key(found: re.Match[str]) -> str:
    """An expression as front matter is known to hold it: YAML may break its lines elsewhere."""
    return " ".join(found[2].split())


def _outputs(python: Kernel, chunk: Chunk) -> list[Any]:
    try:
        return python.run(chunk.code)
    except ChunkError as error:
        within = error.line and Place(chunk.place.file, chunk.code_line + error.line - 1)
        raise RunError(f"{within or chunk.place}: {error}") from error


def _values(python: Kernel, part: Prose) -> list[tuple[str, str]]:
    """A text's inline expressions in order, with their values as Markdown."""
    found = list(INLINE.finditer(part.text))
    try:
        results = python.evaluate([match[2].strip() for match in found]) if found else []
    except ChunkError as error:
        raise RunError(f"{part.place}: {error}") from error
    values = []
    for match, result in zip(found, results, strict=True):
        place = part.place.down(part.text.count("\n", 0, match.start(2)))
        values.append((key(match), _value(place, match[2], result)))
    return values


def _value(place: Place, expression: str, result: dict[str, Any]) -> str:
    """One expression's value as Markdown."""
    shown = f"`{{python}} {expression}`"
    if result["status"] == "error":
        raise RunError(f"{place}: {shown}: {said(result['ename'], result['evalue'])}")
    data = result["data"]
    if "text/markdown" in data:
        text = str(data["text/markdown"])
    else:
        text = _plain(place, shown, str(data.get("text/plain", "")))
    if not text.strip():
        raise RequestError(f"{place}: {shown} is empty: Quarto would print the expression itself.")
    return text


def _plain(place: Place, shown: str, text: str) -> str:
    """A value without Markdown of its own: numbers as they are, strings and reprs as words."""
    if re.match(r"(np|numpy)\.\w+\(", text):
        raise RequestError(f"{place}: {shown} gives {text}: make it a str first, with its digits.")
    if _NUMBER.fullmatch(text):
        return text
    string = text
    if text[:1] in "'\"":
        if re.search(r"\\(?!ud[89a-f])", text):  # halves of characters are refused below
            raise RequestError(
                f"{place}: {shown} is a string that Quarto prints as {text[1:60]}…: give Markdown,"
                " an object with _repr_markdown_, such as analysis.paper.text.Md."
            )
        with contextlib.suppress(ValueError, SyntaxError):
            string = str(ast.literal_eval(text))
    return _MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(string.splitlines()))
