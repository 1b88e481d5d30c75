"""The author's own function of the results that decides a claim, and what its answer comes to."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.errors import RequestError, short
from analysis.paper.data import Data
from analysis.paper.text import escape
from analysis.paper.verdicts import Cell, Finding, Verdict


def decide(function: Callable[[Data], Any], data: Data) -> Finding:
    """The verdict of the function on the results, of which it gets a copy of its own."""
    tables = {name: table.copy(deep=False) for name, table in data.tables.items()}
    found = function(Data(tables, copy.deepcopy(data.environment)))
    match found:
        case (answer, str(numbers)) if numbers.strip():
            return _verdict(answer, data.alpha), escape(numbers.strip().removesuffix("."))
    raise _refused("gives", found)


def _verdict(answer: Any, alpha: float) -> Verdict:
    match answer:
        case None:
            return Verdict.UNCHECKED
        case bool() | np.bool():
            return Verdict.SUPPORTED if answer else Verdict.CONTRADICTED
        case Cell(value, low, high) if low <= high:
            sides = (Verdict.UNDECIDED, Verdict.SUPPORTED, Verdict.CONTRADICTED)
            return Verdict.UNCHECKED if math.isnan(value) else sides[answer.side(alpha)]
    raise _refused("answers", answer)


def _refused(does: str, found: Any) -> RequestError:
    return RequestError(
        f"holds {does} {short(' '.join(repr(found).split()), 80)}; allowed: a pair, of True, False,"
        " None (it cannot be checked) or paper.Interval(value, low, high), and of the numbers as"
        " text, or of what is missing"
    )
