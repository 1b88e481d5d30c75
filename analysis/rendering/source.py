"""report.qmd as it is read: front matter, prose and chunks, each with the line it begins on.

Only the subset of Quarto that docs/rendering.md names gets through; the rest is refused here and
in subset.py, before anything runs, with the line and what to write instead.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import RequestError, unknown

CHUNK_OPTIONS: dict[str, tuple[type, ...]] = {
    "label": (str,),
    "fig-cap": (str,),
    "fig-alt": (str, list),
    "fig-subcap": (list,),
    "layout-ncol": (int,),
    "tbl-cap": (str,),
    "tbl-colwidths": (list, bool, str),
    "output": (bool, str),
    "echo": (bool,),
    "include": (bool,),
    "warning": (bool,),
    "message": (bool,),
    "eval": (bool,),
    "code-fold": (bool, str),
    "code-summary": (str,),
    "classes": (str, list),
    "tags": (list,),
}
_WORDS = {"output": ("asis",), "code-fold": ("show",), "tbl-colwidths": ("auto",)}
_DOCUMENT_ONLY = ("fig-width", "fig-height", "fig-format", "fig-dpi", "cache", "freeze")
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(.*?)\s*$")
INLINE = re.compile(r"(^|[^`])`\{python\}[ \t]([^`]+)`", re.MULTILINE)  # Quarto's own expression


@dataclass(frozen=True)
class Place:
    """A line of a file, for messages: `report.qmd:12`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def down(self, lines: int) -> "Place":
        """The place so many lines further down."""
        return Place(self.file, self.line + lines)


@dataclass(frozen=True)
class Prose:
    """Markdown between chunks."""

    place: Place
    text: str


@dataclass(frozen=True)
class Chunk:
    """An executable chunk: its options as validated, its code without them."""

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

    @property
    def classes(self) -> list[str]:
        given = self.options.get("classes", [])
        return given.split() if isinstance(given, str) else [str(name) for name in given]


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
    """The document at `path`; RequestError with its line for whatever lies outside the subset."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
    except FileNotFoundError:
        raise RequestError(f"{path} is missing: the paper is rendered from it.") from None
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{path.name} is not UTF-8 ({error.reason}): save it as UTF-8."
        ) from None
    lines = text.removesuffix("\n").split(
        "\n"
    )  # not at each mark that Python breaks lines at: strings may hold them
    front, start = _front_matter(path.name, lines)
    parts = tuple(_parts(path.name, lines, start))
    _refuse_twins(parts)
    return Source(path, text, front, parts)


def _front_matter(name: str, lines: list[str]) -> tuple[Prose, int]:
    """The front matter and the index of the first line after it."""
    if not lines or lines[0].rstrip() != "---":
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
        if _is_chunk(name, index, fence):
            yield from _prose(name, lines, prose_start, index)
            yield _chunk(name, lines, index, end)
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


def _is_chunk(name: str, index: int, fence: re.Match[str]) -> bool:
    """Whether the fence opens a Python chunk; other executable languages are refused."""
    header = fence[3]
    at = f"{name}:{index + 1}"
    if header == "{python}":
        if fence[1] or fence[2][0] == "~":
            raise RequestError(f"{at}: a chunk begins with ```{{python}} at the start of its line.")
        return True
    if re.match(r"\{python\b", header):
        raise RequestError(f"{at}: options go on `#| key: value` lines, not into `{header}`.")
    if other := re.match(r"\{=(?!html\}|typst\})(\w+)\}", header):
        raise RequestError(f"{at}: raw {other[1]} would be in neither file: html and typst are.")
    if other := re.match(r"\{+(\w+)", header):
        raise RequestError(
            f"{at}: chunks are Python only; write ```{{python}} to run it, "
            f"```{other[1]} to show it."
        )
    return False


def _chunk(name: str, lines: list[str], start: int, end: int) -> Chunk:
    place, body = Place(name, start + 1), lines[start + 1 : end]
    count = next((i for i, line in enumerate(body) if not line.startswith("#|")), len(body))
    if body[count:] and re.match(r"\s*#\s+\|\s*[\w-]+:", body[count]):
        raise RequestError(
            f"{place.down(count + 1)}: {body[count].strip()!r} is a comment: options begin with"
            " `#|`, without a space."
        )
    options = _options(place, body[:count])
    code = "\n".join(body[count:]).strip("\n")
    blank = next((i for i, line in enumerate(body[count:]) if line.strip()), 0)
    chunk = Chunk(place, options, code, start + 2 + count + blank)
    _refuse_contradictions(chunk)
    return chunk


def _options(place: Place, lines: list[str]) -> dict[str, Any]:
    """The `#|` lines as validated options."""
    text = "\n".join(line[2:].removeprefix(" ") for line in lines)
    options = settings_of(text, place.down(1), "chunk options are `#| key: value` lines.")
    for key, value in options.items():
        at = place.down(
            1 + next((i for i, x in enumerate(lines) if x[2:].strip().startswith(str(key))), 0)
        )
        _check_option(at, str(key), value)
    return options


_TWICE = "a key stands twice"


class _Located(yaml.SafeLoader):
    """Says where a value stands that looks like a date or a number and is none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A key that stands twice is an error: the last would silently win."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                said = f"{_TWICE}: {key.value}"
                raise yaml.MarkedYAMLError(problem=said, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def settings_of(text: str, place: Place, what: str) -> dict[str, Any]:
    """YAML that begins at `place`, as a mapping; RequestError with its line for anything else."""
    try:
        content = yaml.load(text, _Located) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = place.down(min(mark.line if mark else 0, text.rstrip().count("\n")))
        problem = str(getattr(error, "problem", None) or "unreadable")[:100]
        advice = (
            "remove one"
            if problem.startswith(_TWICE)
            else "quote values that hold a colon, or are no date or number"
        )
        raise RequestError(f"{at}: not YAML ({problem}): {advice}.") from None
    except RecursionError:
        raise RequestError(f"{place}: not YAML that can be read: nested too deep.") from None
    if not isinstance(content, dict):
        raise RequestError(f"{place}: {what}")
    return content


def _check_option(at: Place, key: str, value: object) -> None:
    if key in _DOCUMENT_ONLY:
        raise RequestError(
            f"{at}: {key} works for the whole document only: set it in _quarto.yml, "
            "or size the figure where it is made."
        )
    if key not in CHUNK_OPTIONS:
        raise RequestError(f"{at}: {unknown('chunk option', key, CHUNK_OPTIONS)}")
    allowed = CHUNK_OPTIONS[key]
    right = isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))
    if right and key in _WORDS and isinstance(value, str):
        right = value in _WORDS[key]
    if right and "{python}" in str(value):
        raise RequestError(f"{at}: {key} takes no inline values: leave numbers to the prose.")
    if not right:
        wanted = [t.__name__ for t in allowed if not (t is str and key in _WORDS)]
        choice = " or ".join([*(repr(word) for word in _WORDS.get(key, ())), *wanted])
        raise RequestError(f"{at}: {key} is {value!r}; it takes {choice}.")


def _refuse_contradictions(chunk: Chunk) -> None:
    """Captions and labels that Quarto would drop without a word."""
    given, label, at = chunk.options, chunk.label, chunk.place
    if label and not re.fullmatch(r"[A-Za-z][\w-]*", label):
        raise RequestError(f"{at}: label {label!r} may hold letters, digits and hyphens only.")
    for prefix in ("fig", "tbl"):
        if f"{prefix}-cap" in given and chunk.kind != prefix:
            raise RequestError(f"{at}: {prefix}-cap needs a label that begins with {prefix}-.")
        if chunk.kind == prefix and not str(given.get(f"{prefix}-cap", "")).strip():
            raise RequestError(f"{at}: {label} has no caption: add `#| {prefix}-cap: …`.")
    if chunk.kind == "fig" and not given.get("fig-alt"):
        raise RequestError(f"{at}: {label} has no description: add `#| fig-alt: …`.")
    if "fig-subcap" in given and chunk.kind != "fig":
        raise RequestError(f"{at}: fig-subcap needs a label that begins with fig-.")
    if re.match(r"(sec|eq|lst|thm|lem|cor|prp|def|exm|nte|wrn|imp|cau)-", label):
        raise RequestError(f"{at}: label {label!r}: only fig- and tbl- number a chunk's output.")
    if not chunk.code.strip():
        raise RequestError(f"{at}: the chunk is empty: remove it.")


def _refuse_twins(parts: tuple[Prose | Chunk, ...]) -> None:
    """RequestError for a label that stands twice, in chunks or in `{#…}`."""
    seen: dict[str, Place] = {}
    for label, place in _labels(parts):
        if label in seen:
            raise RequestError(
                f"{place}: label {label!r} stands on line {seen[label].line} already: rename one."
            )
        seen[label] = place


def _labels(parts: tuple[Prose | Chunk, ...]) -> Iterator[tuple[str, Place]]:
    for part in parts:
        if isinstance(part, Chunk):
            if part.label:
                yield part.label, part.place
            continue
        for line, text in visible_lines(part.text):
            for found in re.finditer(r"\{#([\w-]+)[^}]*\}", text):
                yield found[1], part.place.down(line)


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
