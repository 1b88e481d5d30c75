"""The one execution, for all formats: chunks and inline expressions, in order, in one kernel."""

import ast
import contextlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.errors import RequestError, RunError
from analysis.rendering import kernel
from analysis.rendering.document import INLINE, Chunk, Prose, Source
from analysis.rendering.kernel import ChunkError, Kernel, said
from analysis.rendering.reuse import Done, Part, Plan, plan
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
    with Session(progress) as session:
        return session.execute(source, inches)


class Session(contextlib.AbstractContextManager["Session"]):
    """A kernel, and what it has run of a document: when it is asked again, for the document as it
    is then, only that is run which has changed or depends on what has."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._open = contextlib.ExitStack()
        self._python: Kernel | None = None
        self._inches = (0.0, 0.0)
        self._done: list[Done] = []
        self._read: dict[Path, object] = {}

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the kernel: what is asked next takes a fresh one."""
        self._open.close()
        self._python = None

    @property
    def read(self) -> set[Path]:
        """The files, but for the document, that what was run depends on."""
        return set(self._read)

    def execute(self, source: Source, inches: tuple[float, float]) -> Executed:
        """As `execute` does, with the values that still hold."""
        parts = (source.front, *source.parts)
        if not source.chunks and not INLINE.search(source.text):
            return Executed({}, tuple((p, p.text) for p in source.parts if isinstance(p, Prose)))
        planned = self._planned(parts, inches)
        if planned is None or self._python is None:
            python, planned = self._restarted(source.path.parent, inches), Plan({}, frozenset())
        else:
            python = self._python
            python.forget(planned.forgotten)
        self._run(python, parts, planned, source.path)
        front, *results = (done.result for done in self._done)
        return Executed(front, tuple(zip(source.parts, results, strict=True)))

    def _planned(self, parts: Sequence[Part], inches: tuple[float, float]) -> Plan | None:
        """What still holds; None if this takes a fresh kernel."""
        if inches != self._inches or any(stamp(p) != was for p, was in self._read.items()):
            return None
        return plan(self._done, parts)

    def _restarted(self, project: Path, inches: tuple[float, float]) -> Kernel:
        self._open.close()
        self._progress("render  starting Python")
        self._python = self._open.enter_context(kernel.running(project, *inches))
        self._inches, self._done, self._read = inches, [], {}
        return self._python

    def _run(self, python: Kernel, parts: Sequence[Part], planned: Plan, document: Path) -> None:
        """Run all parts that do not hold; `_done` says at each moment what is."""
        self._done = [
            replace(planned.kept[index], part=part) if index in planned.kept else Done(part)
            for index, part in enumerate(parts)
        ]
        began, spans = time.time(), {}
        try:
            for index, part in enumerate(parts):
                if not self._done[index].finished:
                    start = time.time()
                    result = self._result(python, part, first=index == 0)
                    self._done[index] = Done(part, result, finished=True)
                    spans[index] = start, time.time()
        except (RequestError, RunError) as error:
            if isinstance(error.__cause__, ChunkError) and error.__cause__.line is None:
                self.end()  # Python's process ended
            else:
                self._note(python, document, began, spans)
            raise
        self._note(python, document, began, spans)

    def _result(self, python: Kernel, part: Part, *, first: bool) -> Any:
        """What a part gives; the first is the front matter."""
        if isinstance(part, Prose):
            return dict(_values(python, part)) if first else _with_values(python, part)
        chunks = [done.part for done in self._done if isinstance(done.part, Chunk)]
        number = 1 + next(i for i, chunk in enumerate(chunks) if chunk is part)
        label = f" ({part.label})" if part.label else ""
        self._progress(f"render  executing chunk {number} of {len(chunks)}{label}")
        return _outputs(python, part)

    def _note(
        self, python: Kernel, document: Path, began: float, spans: dict[int, tuple[float, float]]
    ) -> None:
        """Remember which files of the project were read, and which parts read the document."""
        opened, modules = python.noted()
        for index, (start, end) in spans.items():
            if any(path == document and start <= at <= end for at, path in opened):
                self._done[index] = replace(self._done[index], reads_document=True)
        for path in {path for _, path in opened} | modules:
            if document.parent in path.parents and path != document and _is_source(path):
                was = stamp(path)
                self._read[path] = None if was and was[0] > began * 1e9 else was


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when the file does: when it was written, and its size; None without it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _is_source(path: Path) -> bool:
    """Whether the file is somebody's own: no compiled module, nor of the environment."""
    return "__pycache__" not in path.parts and Path(sys.prefix) not in path.parents


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
