"""A text for pandoc that knows which line of the author's document each part of it comes from."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from analysis.rendering.document import Chunk, Prose, Source, visible_lines
from analysis.rendering.subset import Place


@dataclass(frozen=True)
class Markdown:
    """A text for pandoc, and what of the author's document each part of it comes from."""

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
