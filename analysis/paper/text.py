"""Text for the paper: numbers as readers write them, and strings made inert in both formats."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from analysis.rendering.leftovers import like_leftovers

_ASCII_PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_LONG_RUN, _BREAK_EVERY = 24, 12
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
MISSING = "–"
_EMPTY = "*none in this study*"
_NARROWEST, _WIDEST = 5, 60  # dashes of a table's column


class Md:
    """Markdown that Quarto takes as it is, inline and as a chunk's last expression."""

    def __init__(self, text: str):
        self.text = text

    def _repr_markdown_(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text


def escape(value: object, limit: int | None = None) -> str:
    """Any string as inert Markdown that reads exactly so in HTML and PDF.

    Every ASCII punctuation mark becomes a character reference; word joiners keep `:::`, `--` and
    list markers from meaning anything; long runs may break. What looks like a leftover of writing
    is marked as data, which the check of finished files leaves alone.
    """
    text = cleaned(value)
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    out, run = ["&#8288;" if re.match(r"[-+=/]|\d+[.)]\s", text) else ""], 0
    for i, character in enumerate(text):
        if character in ":-." and i and text[i - 1] == character:
            out.append("&#8288;")
        run = 0 if character == " " else run + 1
        if run > _LONG_RUN and run % _BREAK_EVERY == 1:
            out.append("&#8203;")
        out.append(f"&#{ord(character)};" if character in _ASCII_PUNCTUATION else character)
    escaped = "".join(out) or MISSING
    return f"[{escaped}]{{.data}}" if like_leftovers(text) else escaped


def cleaned(value: object) -> str:
    """A string on one line, without characters that nobody sees."""
    printable = "".join(c if c.isprintable() else " " for c in str(value))
    return re.sub(r"\s+", " ", printable).strip()


def attribute(value: object) -> str:
    """A string as the value of an attribute of Markdown, to stand between double quotes."""
    visible = (c if c.isprintable() else " " for c in str(value))
    return "".join(f"&#{ord(c)};" if c in _ASCII_PUNCTUATION else c for c in visible)


def is_missing(value: Any) -> bool:
    """Whether a table's cell is empty."""
    return value is None or (isinstance(value, float) and pd.isna(value)) or value == ""


def count(value: Any) -> str:
    """A whole number with thousands apart: 1,234,567."""
    return MISSING if is_missing(value) else f"{int(value):,}"


def spelled(value: int) -> str:
    """Small whole numbers in words, as in running text."""
    return _WORDS[value] if 0 <= value < len(_WORDS) else count(value)


def counted(count: int, noun: str) -> str:
    """So many of a thing, as in running text: "one task", "three tasks"."""
    return f"{spelled(count)} {noun}{'' if count == 1 else 's'}"


def numbered(count: int, noun: str) -> str:
    """The same in figures, as among numbers: "1 task", "3 tasks"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: Any, digits: int = 3) -> str:
    """A number to that many significant digits, never in exponents between 0.0001 and 10⁶."""
    if is_missing(value):
        return MISSING
    value = float(value)
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        shown = f"{value:.{digits}g}"
        return _minus(f"{float(shown):,.0f}" if "e" in shown else shown)
    return _minus(f"{value:.{digits - 1}e}")


def fixed(value: Any, digits: int = 2) -> str:
    """A number with so many decimals, as numbers that are compared down a column have."""
    return MISSING if is_missing(value) else _minus(f"{float(value):.{digits}f}")


def percent(value: Any, digits: int = 1) -> str:
    """A fraction as a percentage: 0.934 as 93.4 %."""
    return MISSING if is_missing(value) else f"{_minus(f'{100 * float(value):.{digits}f}')}\u00a0%"


def level(sparsity: float) -> str:
    """A level of sparsity: 0.1 as 10 %."""
    return f"{100 * sparsity:g}\u00a0%"


def level_or_dense(sparsity: float) -> str:
    """The same; no sparsity is the dense model's."""
    return level(sparsity) if sparsity else "dense"


def megabytes(value: Any) -> str:
    """Bytes as MB (10⁶)."""
    return MISSING if is_missing(value) else f"{float(value) / 1e6:.2f}\u00a0MB"


def times(value: Any) -> str:
    """A ratio: 1.04 ×."""
    return MISSING if is_missing(value) else f"{float(value):.2f}\u00a0×"


def score(value: Any, unit: str) -> str:
    """A metric's value in its own unit: a share in per cent without the sign, else as it is."""
    if is_missing(value):
        return MISSING
    return _minus(f"{100 * float(value):.1f}") if unit == "%" else number(value)


def signed(value: Any, unit: str) -> str:
    """A difference of two scores, with its sign."""
    shown = score(value, unit)
    return shown if shown == MISSING or shown.startswith("−") else f"+{shown}"


def computed(value: Any, unit: str) -> str:
    """A score that was computed: one without a finite value is an infinite perplexity."""
    return "infinite" if is_missing(value) else score(value, unit)


def between(values: Iterable[float], shown: Any) -> str:
    """The smallest and the largest, or the one value that both are shown as: "3 % to 9 %"."""
    present = [v for v in values if not is_missing(v)]
    if not present:
        return MISSING
    low, high = shown(min(present)), shown(max(present))
    return low if low == high else f"{low} to {high}"


def millions(counts: Iterable[float]) -> str:
    """A range of counts, in millions or billions."""
    known = [float(count) for count in counts if not is_missing(count)]
    if not known:
        return "an unrecorded number of"
    if max(known) < 1e9:
        shown = between(known, lambda n: number(n / 1e6, 2 if n < 1e7 else 3))
        return f"{shown}\u00a0million"
    return between(known, _large)


def _large(count: float) -> str:
    scale, word = (1e9, "billion") if count >= 1e9 else (1e6, "million")
    return f"{number(count / scale)}\u00a0{word}"


def listing(items: Sequence[str]) -> str:
    """Items as in a sentence: a, b and c."""
    if len(items) < 2:
        return "".join(items) or "none"
    return f"{', '.join(items[:-1])} and {items[-1]}"


def table(header: Sequence[str], body: Iterable[Sequence[str]], align: str) -> Md:
    """A Markdown pipe table of ready-made cells; `align` has an l or r for each column.

    The dashes give each column its share of the width, by its longest cell: pandoc follows them
    where a row is long, and a study may have any number of levels.
    """
    rows = [list(header), *map(list, body)]
    if len(rows) == 1:  # what a study did not do
        rows.append([_EMPTY] + [MISSING] * (len(align) - 1))
    for cells in rows:
        if len(cells) != len(align):
            raise ValueError(f"{len(cells)} cells in a table of {len(align)} columns: {cells}")
    longest = [max(map(_shown_length, column)) for column in zip(*rows, strict=True)]
    dashes = ["-" * min(max(length, _NARROWEST), _WIDEST) for length in longest]
    rules = [f":{d}" if a == "l" else f"{d}:" for a, d in zip(align, dashes, strict=True)]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    lines.insert(1, "|" + "|".join(rules) + "|")
    return Md("\n".join(lines) + "\n")


def has_rows(shown: Md) -> bool:
    """Whether such a table holds anything."""
    return _EMPTY not in shown.text


def plain(cell: str) -> str:
    """What a reader sees of a table's cell: no marks, nor what is there to break lines; links by
    their words, citations by their keys."""
    bare = re.sub(r"\[([^\[\]]*)\](?:\{\.data\}|\([^()]*\))", r"\1", cell)
    bare = re.sub(r"\[@([\w:-]+)\]", r"(\1)", bare).replace("*", "")
    return html.unescape(bare).replace("\u200b", "").replace("\u2060", "")


def _shown_length(cell: str) -> int:
    """About how many characters a reader sees of a cell; bold ones are wider."""
    return len(plain(cell)) + 2 * ("**" in cell)


def _minus(text: str) -> str:
    """With a minus sign for the hyphen; a zero has no sign, whatever was rounded to it."""
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")
