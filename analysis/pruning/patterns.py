"""N:M patterns: of every M neighbours along a row, at most N are not zero."""

import re
from dataclasses import dataclass

from analysis.errors import RequestError

_LARGEST = 32


@dataclass(frozen=True)
class Pattern:
    """`kept` of every `group` neighbouring inputs stay: 2:4 keeps two of four."""

    kept: int
    group: int

    @property
    def sparsity(self) -> float:
        return (self.group - self.kept) / self.group

    def __str__(self) -> str:
        return f"{self.kept}:{self.group}"


Level = float | Pattern


def sparsity_of(level: Level) -> float:
    """The fraction that a level removes."""
    return level.sparsity if isinstance(level, Pattern) else level


def parse(text: str) -> Pattern:
    """The pattern of a text such as "2:4". Raises RequestError if it is none."""
    found = re.fullmatch(r"([0-9]{1,3}):([0-9]{1,3})", text)
    pattern = Pattern(int(found[1]), int(found[2])) if found else None
    if pattern is None or not 0 < pattern.kept < pattern.group <= _LARGEST:
        raise RequestError(
            f"pattern {text!r} is not N:M; write how many of how many neighbours are kept, such as"
            f" 2:4 or 4:8, M at most {_LARGEST}"
        )
    return pattern
