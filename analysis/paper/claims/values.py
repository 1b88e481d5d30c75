"""How many claims the document makes, and what this run says of them."""

from analysis.paper import sourced, text
from analysis.paper.claims.document import by_verdict, claims
from analysis.paper.data import Data
from analysis.paper.sourced import Sourced
from analysis.paper.verdicts import MARGIN, Verdict


def claim_count(data: Data) -> Sourced:
    return sourced.claimed(text.spelled(len(claims())), claims())


def claims_supported(data: Data) -> Sourced:
    return _count(data, Verdict.SUPPORTED)


def claims_contradicted(data: Data) -> Sourced:
    return _count(data, Verdict.CONTRADICTED)


def claims_undecided(data: Data) -> Sourced:
    return _count(data, Verdict.UNDECIDED)


def claims_unchecked(data: Data) -> Sourced:
    """How many cannot be checked in this study."""
    return _count(data, Verdict.UNCHECKED)


def _count(data: Data, one: Verdict) -> Sourced:
    found = by_verdict(data)[one]
    return sourced.claimed(text.spelled(len(found)) if found else "none", found)


def claim_margin(data: Data) -> str:
    """The loss that counts as none."""
    return text.percent(MARGIN, 0)
