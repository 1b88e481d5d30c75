"""The table of all claims."""

import re

from analysis.paper import text
from analysis.paper.claims import one_line
from analysis.paper.claims.document import verdicts
from analysis.paper.data import Data
from analysis.paper.text import Md
from analysis.paper.verdicts import Verdict


def claims(data: Data) -> Md:
    """All claims with their verdicts and numbers."""
    body = [
        [_in_cell(one_line(v.claim.sentence)), _word(v.verdict), v.evidence] for v in verdicts(data)
    ]
    return text.table(["Claim", "This run", "Numbers"], body, "lll")


def _in_cell(sentence: str) -> str:
    """The same as a cell: a bar ends one, but not in formulas and code."""
    return re.sub(r"(`+).*?\1|\$[^$]*\$|(\|)", lambda m: "&#124;" if m[2] else m[0], sentence)


def _word(found: Verdict) -> str:
    return f"**{found}**" if found is Verdict.CONTRADICTED else str(found)
