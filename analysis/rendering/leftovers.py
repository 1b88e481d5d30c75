"""What writing leaves over and no paper may show: notes, unexpanded code, numbers that are none.

Prose is searched, code is not: a listing may well say TODO. Text that comes from data and looks
like a leftover goes into `[…]{.data}`.
"""

import re
from collections.abc import Iterator

_DATA = re.compile(r"\[[^\]]*\]\{[^}]*\.data\b[^}]*\}")
NO_VALUES = ("nan", "none", "inf", "<na>", "nat")  # as a table's cell
_NOTES = (
    (r"\b(?:TODO|TBD|FIXME|XXX)\b", "a leftover note: write what is missing"),
    (r"(?i)lorem ipsum", "placeholder text: write what is missing"),
)
_LEFTOVERS = (
    *_NOTES,
    (
        r"\?@[\w-]+|\?(?:fig|tbl|sec|eq|meta|env|var):[\w-]+",
        "a reference that nothing answers: label its target so",
    ),
    (
        r"\([\w:.+/-]*\d[\w:.+/-]*\?\)",
        "a citation that the bibliography does not hold: add the entry",
    ),
    (
        r"\{python\}",
        "an inline expression that was not evaluated: correct it, or make it not empty",
    ),
    (r"\bnp\.\w+\(", "a NumPy value printed raw: make it a str first, with its digits"),
    (
        r"(?<![\w-])(?<!\w\.)(?:nan|NaN)(?![\w-]|\.\w)",
        "a number that is none: print “–” and say why",
    ),
    (r"\{\{<", "a shortcode that was not expanded: correct it"),
    (r"Traceback \(most recent call last\)", "a Python traceback: correct the chunk"),
)


def like_leftovers(text: str) -> bool:
    """Whether a string from data looks like a leftover: then it goes into `[…]{.data}`."""
    return any(re.search(pattern, text) for pattern, _ in _LEFTOVERS) or text.lower() in NO_VALUES


def note(text: str) -> str | None:
    """What in a line of the author's prose looks like a note to be worked on; None if nothing."""
    bare = _DATA.sub("", text)
    found = next((f for pattern, _ in _NOTES if (f := re.search(pattern, bare))), None)
    return found[0] if found else None


def leftovers(text: str) -> Iterator[str]:
    """A line for each kind of leftover in prose."""
    for pattern, advice in _LEFTOVERS:
        if found := re.search(pattern, text):
            around = " ".join(text[max(0, found.start() - 40) : found.end() + 20].split())
            yield f"{found[0]!r} is {advice} (“…{around}…”)."
