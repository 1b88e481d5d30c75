"""How many claims the document makes, and what this run says of them."""

from analysis.paper import text
from analysis.paper.claims.document import by_verdict, claims
from analysis.paper.data import Data
from analysis.paper.verdicts import MARGIN, Verdict


def claim_count(data: Data) -> str:
    return text.spelled(len(claims()))


def claims_supported(data: Data) -> str:
    return _count(data, Verdict.SUPPORTED)


def claims_contradicted(data: Data) -> str:
    return _count(data, Verdict.CONTRADICTED)


def claims_undecided(data: Data) -> str:
    return _count(data, Verdict.UNDECIDED)


def claims_unchecked(data: Data) -> str:
    """How many cannot be checked in this study."""
    return _count(data, Verdict.UNCHECKED)


def _count(data: Data, one: Verdict) -> str:
    return text.spelled(len(by_verdict(data)[one]))


def claim_margin(data: Data) -> str:
    """The loss that counts as none."""
    return text.percent(MARGIN, 0)
