"""What a finished paper must not hold: findings in its HTML and PDF, one line each.

    python -m analysis.rendering.check FILE…       exit status 1 if anything is found

Prose is searched, code is not: a listing may well say TODO. Text that comes from data and looks
like a leftover goes into `[…]{.data}`.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_NOTES = (
    (r"\b(?:TODO|TBD|FIXME|XXX)\b", "a leftover note: write what is missing"),
    (r"(?i)lorem ipsum", "placeholder text: write what is missing"),
)
_DATA = re.compile(r"\[[^\]]*\]\{[^}]*\.data\b[^}]*\}")
NO_VALUES = ("nan", "none", "inf", "<na>", "nat")  # as a table's cell
_LEFTOVERS: tuple[tuple[str, str], ...] = (
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


def findings(path: Path) -> list[str]:
    """What is wrong with the finished file, a line each; an empty list if nothing is."""
    path = Path(path)
    if path.suffix == ".html":
        from analysis.rendering.check_html import html_findings

        return [f"{path.name}: {line}" for line in html_findings(path)]
    if path.suffix == ".pdf":
        from analysis.rendering.check_pdf import pdf_findings

        return [f"{path.name}: {line}" for line in pdf_findings(path)]
    return []


def like_leftovers(text: str) -> bool:
    """Whether a string from data looks like a leftover: then it goes into `[…]{.data}`."""
    return any(re.search(pattern, text) for pattern, _ in _LEFTOVERS) or text.lower() in NO_VALUES


def notes(text: str) -> str | None:
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


def main(arguments: Sequence[str]) -> int:
    """Print the findings in the named files; 1 if there are any."""
    found = [line for name in arguments for line in findings(Path(name))]
    for line in found:
        print(line, file=sys.stderr, flush=True)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
