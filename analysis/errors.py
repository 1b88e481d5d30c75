"""What can go wrong, in one line each.

AnalysisError        a line for stderr: what is wrong, what is allowed, how to fix it
├── RequestError     the request was wrong          exit status 2
└── RunError         the request was right, the run failed   exit status 1
    └── MachineError   the machine failed: no other step would do better
"""

import difflib
from collections.abc import Iterable

_LONGEST = 1_500  # characters of a message
_END = 400  # of these at its end, where it says what to do


class AnalysisError(Exception):
    """A failure that a user can understand: its message is one line."""

    exit_status = 1

    def __init__(self, message: str):
        super().__init__(one_line(message))


class RequestError(AnalysisError):
    """The request cannot be carried out as it stands: a wrong name, level, file or option."""

    exit_status = 2


class RunError(AnalysisError):
    """The request was right, but carrying it out failed: a full disk, a damaged file."""


class MachineError(RunError):
    """The machine failed, not one step of a run: a full disk, a cache that cannot be written."""


def one_line(text: str) -> str:
    """The text on one line of a terminal, cut in the middle where it is as long as a page."""
    line = " ".join(text.split())
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST - _END]} … {line[-_END:]}"
    return printable(line)


def unknown(what: str, given: object, allowed: Iterable[str]) -> str:
    """The message for a name that does not exist: it names what does, and the nearest match."""
    names = sorted(map(str, allowed))
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {short(given)!r}.{hint} Allowed: {', '.join(names) or 'none'}."


def short(value: object, most: int = 200) -> str:
    """The value as text, cut in the middle where it is long."""
    text = str(value)
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 4 :]}"


def printable(text: str) -> str:
    """The text for a terminal: what would break the line or steer the screen is spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
