"""Claims: sentences of report.qmd tied to a test over the results, printed with what it shows.

A claim is written where it is read (`paper.claim` in a chunk). What decides it, `holds`, is a
finding of a section by its name, with its settings, or the author's own function of the results.
Both end in a verdict and the numbers behind it.
"""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.errors import RequestError, RunError, unknown
from analysis.paper import sections, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape
from analysis.paper.verdicts import Cell, Finding, Verdict
from analysis.rendering.subset import Place

Holds = str | Callable[[Data], Any]


@dataclass(frozen=True)
class Claim:
    """A sentence; what to write if it is contradicted, or undecided; and what decides."""

    place: Place
    name: str
    sentence: str
    otherwise: str
    undecided: str
    holds: Callable[[Data], Any]


@dataclass(frozen=True)
class Checked:
    """A claim held against the results of one run."""

    claim: Claim
    verdict: Verdict
    evidence: str


def finding(name: str, **settings: Any) -> Callable[[Data], Finding]:
    """A section's finding with its settings: the numbers that the claim's sentence names.

    Raises RequestError for a finding or a setting that there is none of, and for one that lacks.
    """
    found = sections.named("finding", name)
    known = list(inspect.signature(found).parameters.values())[1:]  # after the results
    for key in settings:
        if key not in [one.name for one in known]:
            raise RequestError(
                unknown(f"setting of finding {name!r}", key, [o.name for o in known])
            )
    lacking = [o.name for o in known if o.default is o.empty and o.name not in settings]
    if lacking:
        given = ", ".join(f"{key}=…" for key in lacking)
        raise RequestError(
            f"finding {name!r} takes {text.listing(lacking)}: write"
            f" holds=paper.finding({name!r}, {given})"
        )
    return functools.partial(found, **settings)


@functools.lru_cache(maxsize=256)
def check(data: Data, claim: Claim) -> Checked:
    """The claim held against the results, if these mean anything; remembered."""
    if data.rehearsal:
        return Checked(claim, Verdict.UNCHECKED, "the weights of a rehearsal are random")
    try:
        found = claim.holds(data)
    except RequestError:
        raise
    except Exception as error:  # of an author's function
        said = f"{type(error).__name__}: {error}"
        raise RunError(f"{claim.place}: claim {claim.name!r}: holds: {said}") from error
    return Checked(claim, *_decided(claim, found, data.alpha))


def _decided(claim: Claim, found: Any, alpha: float) -> Finding:
    """A finding as it is; of an author's function, what its answer comes to."""
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], str)):
        raise RequestError(
            f"{claim.place}: claim {claim.name!r}: holds gives {found!r}; allowed: a pair, of True,"
            " False, None or paper.Interval(value, low, high), and of the numbers as text"
        )
    answer, numbers = found
    if isinstance(answer, Verdict):
        return answer, numbers
    if answer is None:
        return Verdict.UNCHECKED, escape(numbers)
    side = answer.side(alpha) if isinstance(answer, Cell) else 1 if answer else -1
    return (Verdict.CONTRADICTED, Verdict.UNDECIDED, Verdict.SUPPORTED)[side + 1], escape(numbers)


def statement(found: Checked) -> Md:
    """The claim as the paper prints it: the sentence that is true, the verdict, the numbers."""
    claim, label = found.claim, f"Claim *{escape(found.claim.name)}*"
    said, evidence = f"“{one_line(claim.sentence)}”", found.evidence
    match found.verdict:
        case Verdict.SUPPORTED:
            return _quoted(f"**{one_line(claim.sentence)}** {label}: supported ({evidence}).")
        case Verdict.CONTRADICTED:
            return _quoted(
                f"**{one_line(claim.otherwise)}** {label}: contradicted ({evidence}). It was:"
                f" {said}"
            )
        case Verdict.UNDECIDED:
            return _quoted(f"{one_line(claim.undecided)} {label}: undecided ({evidence}): {said}")
        case Verdict.UNCHECKED:
            return _quoted(f"{label} cannot be checked in this study ({evidence}): {said}")


def _quoted(said: str) -> Md:
    return Md(f"> {said}")


def one_line(written: str) -> str:
    """A sentence of the author's Markdown on one line, “50 %” unbroken."""
    return re.sub(r"(?<=\d) (?=%)", "\u00a0", " ".join(written.split()))
