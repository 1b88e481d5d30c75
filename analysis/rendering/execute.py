"""The one execution, for all formats: chunks and inline expressions, in order, in one kernel."""

import ast
import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from analysis.errors import RequestError, RunError
from analysis.rendering import kernel
from analysis.rendering.kernel import ChunkError, Kernel, KernelDeathError
from analysis.rendering.settings import Settings
from analysis.rendering.source import INLINE, Chunk, Place, Prose, Source

Progress = Callable[[str], None]
# what Quarto escapes in plain strings, and what else Markdown or a table's row reads as its own
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]()>#+\-.!|~^$@<])")

_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?")  # which may stand in a formula


@dataclass(frozen=True)
class Executed:
    """The document with its values: front matter as text, and each part with what it became."""

    front: str
    parts: tuple[tuple[Prose | Chunk, Any], ...]  # Prose → text, Chunk → list of Jupyter outputs


def execute(source: Source, settings: Settings, progress: Progress) -> Executed:
    """Run the document once; front-matter expressions come before every chunk, as under Quarto.

    RunError with its line for what raises, RequestError for a value that cannot be shown.
    """
    runs = [chunk for chunk in source.chunks if _evaluated(chunk, settings)]
    if not runs and not INLINE.search(source.text):
        return Executed(source.front.text, tuple((part, _unrun(part)) for part in source.parts))
    progress("render  starting Python")
    with kernel.running(source.path.parent, *settings.figure_inches) as python:
        front = _filled(python, source.front)
        parts: list[tuple[Prose | Chunk, Any]] = []
        for part in source.parts:
            if isinstance(part, Prose):
                parts.append((part, _filled(python, part)))
            elif _evaluated(part, settings):
                done = 1 + sum(part.place.line > chunk.place.line for chunk in runs)
                label = f" ({part.label})" if part.label else ""
                progress(f"render  executing chunk {done} of {len(runs)}{label}")
                parts.append((part, _outputs(python, part)))
            else:
                parts.append((part, []))
    return Executed(front, tuple(parts))


def _evaluated(chunk: Chunk, settings: Settings) -> bool:
    return bool(chunk.options.get("eval", settings.execute.get("eval", True)))


def _unrun(part: Prose | Chunk) -> str | list[Any]:
    return part.text if isinstance(part, Prose) else []


def _outputs(python: Kernel, chunk: Chunk) -> list[Any]:
    with _deaths_at(chunk.place):
        try:
            return python.run(chunk.code)
        except ChunkError as error:
            at = Place(chunk.place.file, chunk.code_line + error.line - 1)
            raise RunError(f"{at}: {error}") from error


@contextlib.contextmanager
def _deaths_at(place: Place) -> Iterator[None]:
    try:
        yield
    except KernelDeathError as error:
        raise RunError(f"{place}: {error}") from error


def _filled(python: Kernel, part: Prose) -> str:
    """The text with each inline expression replaced by its value."""
    found = list(INLINE.finditer(part.text))
    if not found:
        return part.text
    with _deaths_at(part.place):
        results = python.evaluate([match[2].strip() for match in found])
    pieces, end = [], 0
    for match, result in zip(found, results, strict=True):
        place = part.place.down(part.text.count("\n", 0, match.start(2)))
        pieces += [part.text[end : match.start()], match[1], _value(place, match[2], result)]
        end = match.end()
    return "".join([*pieces, part.text[end:]])


def _value(place: Place, expression: str, result: dict[str, Any]) -> str:
    """One expression's value as Markdown."""
    shown = f"`{{python}} {expression}`"
    if result["status"] == "error":
        raise RunError(f"{place}: {shown}: {ChunkError(result['ename'], result['evalue'])}")
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
        with contextlib.suppress(ValueError, SyntaxError):
            string = str(ast.literal_eval(text))
    return _MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(string.splitlines()))
