"""The table of all claims."""

from analysis.paper import text
from analysis.paper.claims import one_line
from analysis.paper.claims.document import verdicts
from analysis.paper.data import Data
from analysis.paper.text import Md
from analysis.paper.verdicts import Verdict


def claims(data: Data) -> Md:
    """All claims with their verdicts and numbers."""
    body = [
        [one_line(v.claim.sentence).replace("|", "&#124;"), _word(v.verdict), v.evidence]
        for v in verdicts(data)
    ]
    return text.table(["Claim", "This run", "Numbers"], body, "lll")


def _word(found: Verdict) -> str:
    return f"**{found}**" if found is Verdict.CONTRADICTED else str(found)
