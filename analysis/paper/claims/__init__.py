"""Claims: sentences of report.qmd tied to a test over the results, printed with what it shows.

A claim is written where it is read (`paper.claim` in a chunk). What decides it, `holds`, is a
finding of a section by its name, with its settings, or the author's own function of the results.
Both end in a verdict and the numbers behind it.
"""

import functools
import inspect
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.errors import RequestError, RunError, unknown
from analysis.paper import sections, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape
from analysis.paper.verdicts import Finding, Verdict
from analysis.rendering.subset import Place


@dataclass(frozen=True)
class Settled:
    """A section's finding, by name, with its settings."""

    name: str
    decide: Callable[[Data], Finding]


Holds = str | Settled | Callable[[Data], Any]


@dataclass(frozen=True)
class Claim:
    """A sentence; what to write if it is contradicted, or undecided; and what decides."""

    place: Place
    name: str
    sentence: str
    otherwise: str
    undecided: str
    holds: Callable[[Data], Finding]


@dataclass(frozen=True)
class Checked:
    """A claim held against the results of one run."""

    claim: Claim
    verdict: Verdict
    evidence: str


def finding(name: str, **settings: Any) -> Settled:
    """A section's finding with its settings: the numbers that the claim's sentence names.

    Raises RequestError for a finding or a setting that there is none of, and for one that lacks.
    """
    found = sections.named("finding", name)
    known = {key: one.default for key, one in inspect.signature(found).parameters.items()}
    known.pop("data")
    for key in settings:
        if key not in known:
            raise RequestError(unknown(f"setting of finding {name!r}", key, known))
    required = [key for key, default in known.items() if default is inspect.Parameter.empty]
    if lacking := [key for key in required if key not in settings]:
        given = ", ".join(f"{key}=…" for key in required)
        raise RequestError(
            f"finding {name!r} takes {text.listing(lacking)}: write"
            f' holds=paper.finding("{name}", {given})'
        )
    return Settled(name, functools.partial(found, **settings))


@functools.lru_cache(maxsize=256)
def check(data: Data, claim: Claim) -> Checked:
    """The claim held against the results, if these mean anything; remembered.

    Raises RequestError, or RunError, with the line of the document on which it cannot be done.
    """
    if data.rehearsal:
        return Checked(claim, Verdict.UNCHECKED, "the weights of a rehearsal are random")
    try:
        return Checked(claim, *claim.holds(data))
    except RequestError as error:
        raise RequestError(
            f"{line_of(error, claim.place)}: claim {claim.name!r}: {error}"
        ) from None
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise RunError(
            f"{line_of(error, claim.place)}: claim {claim.name!r}: holds: {said}"
        ) from error


def line_of(error: Exception, place: Place) -> Place:
    """The last line of the document that was running, or else this one."""
    steps = traceback.extract_tb(error.__traceback__)
    lines = [step.lineno for step in steps if step.filename == place.file and step.lineno]
    return Place(place.file, lines[-1]) if lines else place


def statement(found: Checked) -> Md:
    """The claim as the paper prints it: the sentence that is true, the verdict, the numbers."""
    claim, label = found.claim, f"Claim *{escape(found.claim.name)}*"
    said, evidence = f"“{one_line(claim.sentence)}”", found.evidence
    match found.verdict:
        case Verdict.SUPPORTED:
            return _quoted(f"**{one_line(claim.sentence)}** {label}, supported: {evidence}.")
        case Verdict.CONTRADICTED:
            return _quoted(
                f"**{one_line(claim.otherwise)}** {label}, contradicted: {evidence}. Claimed:"
                f" {said}"
            )
        case Verdict.UNDECIDED:
            return _quoted(
                f"{one_line(claim.undecided)} {label}, undecided: {evidence}. Claimed: {said}"
            )
        case Verdict.UNCHECKED:
            return _quoted(f"{said} {label} cannot be checked in this study: {evidence}.")


def _quoted(said: str) -> Md:
    return Md(f"> {said}")


def one_line(written: str) -> str:
    """A sentence of the author's Markdown on one line, “50 %” unbroken."""
    return re.sub(r"(?<=\d) (?=%)", "\u00a0", " ".join(written.split()))
