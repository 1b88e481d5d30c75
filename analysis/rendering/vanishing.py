"""Words that no file would show: the author's, found before anything runs, and those of chunks.

Pandoc drops some of what it cannot make sense of in silence, as cells beyond a header. So each
word of the Markdown has to be among what pandoc read.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from analysis.errors import RequestError
from analysis.rendering import pandoc_run
from analysis.rendering.subset import Place
from analysis.rendering.traced import Markdown, within

_WORD = re.compile(r"[^\W_]+")
_RAW = re.compile(  # meant for one of the files, as its author says
    r"^(\s*)(`{3,}|~{3,})\s*\{=(?:html|typst)\}.*?^\s*\2[`~]*\s*$"
    r"|(`+)(?!`)(?:.(?!\n\n))+?(?<!`)\3\{=(?:html|typst)\}",
    re.MULTILINE | re.DOTALL,
)
_MARKUP = re.compile(  # words that are no text: what they say is said otherwise, or to pandoc alone
    r"""<!--.*?-->                            # comments
    | ^\[//\]:[^\n]* | ^\[comment\]:[^\n]*    # comments too, as some write them
    | ^[ \t>]*(?:[-*+][ \t]+)*\(?(?:\d+|[A-Za-z]|[ivxlcdmIVXLCDM]+|\#)[.)]\s   # an item's number
    | ^[ \t>]*(?:[-*+]|\d+[.)])\s+\[[xX ]\]\s  # a task's box
    | \[\^[^\]\s]*\]:?                        # a footnote's name
    | ^[ ]{0,3}\[[^\]\n]+\]:(?=\s)            # the name of a link's target
    | (?<=\])\[[^\]\n]*\]                     # its use
    | (?<=\])\{\.(?:underline|ul|smallcaps)\}   # classes that pandoc has elements for
    | @\{?[\w:.#$%&+?<>~/-]+                  # citations and references, which are checked as such
    | ^[ \t]*[Tt]able:                        # a caption's mark
    | </?[A-Za-z][^>]*>                       # tags and addresses
    | \\[A-Za-z]+                             # TeX
    | [^\s]*&\#?\w+;[^\s]*                    # words that hold character references
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


def refuse_vanishing(document: Markdown, *filters: str) -> None:
    """RequestError, with its line, for the first word that would be in neither file, and for what
    the named filters of pandoc refuse: `read`, and `subset` of the built-in renderer's."""
    shown = Markdown(document.meta, tuple(map(_without_raw, document.parts)), document.source)
    read = list(_words_read(pandoc_run.read(shown, filters)))
    written = list(_words_written(shown))
    lost = Counter(word for word, _ in written) - Counter(read)
    if lost:
        word, place = _first_lost(written, read, lost)
        raise RequestError(
            f"{place}: {word!r} would vanish, as pandoc reads this: a table's row takes no more "
            r"cells than its header (write \| for a bar), and what is defined has to be used."
        )


def _without_raw(part: tuple[Any, str]) -> tuple[Any, str]:
    return part[0], _RAW.sub(lambda found: "\n" * found[0].count("\n"), part[1])


def _words_written(document: Markdown) -> Iterator[tuple[str, Place]]:
    for part, text in document.parts:
        bare = _MARKUP.sub(lambda found: " " + "\n" * found[0].count("\n"), text)
        for offset, line in enumerate(bare.split("\n")):
            yield from ((word, within(part, offset)) for word in _WORD.findall(line))


def _words_read(value: Any) -> Iterator[str]:
    """All words in pandoc's JSON, but for the names of its elements."""
    if isinstance(value, str):
        yield from _WORD.findall(value)
        if "%" in value:  # pandoc writes addresses so
            yield from _WORD.findall(unquote(value))
    elif isinstance(value, dict):
        yield from _words_read(value.get("c", []))
    elif isinstance(value, list):
        for one in value:
            yield from _words_read(one)
    elif isinstance(value, int | float):
        yield from _WORD.findall(str(value))


def _first_lost(
    written: list[tuple[str, Place]], read: list[str], lost: Counter[str]
) -> tuple[str, Place]:
    """The first lost word where it is lost: the same may stand elsewhere and be kept."""
    words = [word for word, _ in written]
    matcher = difflib.SequenceMatcher(None, words, read, autojunk=False)
    for change, start, end, _, _ in matcher.get_opcodes():
        if change in ("delete", "replace"):
            for word, place in written[start:end]:
                if word in lost:
                    return word, place
    return next(pair for pair in written if pair[0] in lost)
