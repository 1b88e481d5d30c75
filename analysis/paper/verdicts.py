"""By which rules numbers decide a claim; they stand here once, and in the paper's last section.

A `Cell` says how far a number lies on the claimed side of its threshold, with its interval. It is
decided where the whole interval lies on one side of zero.

- *on average*: what holds on average over benchmarks (a model on a task). The interval of the mean
  goes from the mean of the lower ends to that of the upper ones, as wide as if all rose and fell
  together: they share models and examples. Its side decides, unless some benchmark is decided for
  the other side.
- *everywhere*: supported if every cell lies on the claimed side, each tested by itself (the
  intersection-union test of Berger 1982); contradicted if some cell lies on the other side though
  its interval is widened so that those of all cells hold together (Bonferroni), or if all do.
- *somewhere*: not everywhere the reverse.
- *as good as*: as far as a loss of `MARGIN` of the dense quality, which is taken for none.

What has no chance in it, such as bytes and counts, is decided by its value. Noise alone contradicts
or supports no claim more often than the study's confidence allows.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Protocol

import pandas as pd

from analysis.paper import text

MARGIN = 0.02
_WHOLE_SCALE = 1.0  # from chance to the dense model: an interval as wide as that tells nothing


class Verdict(StrEnum):
    """What a run says of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    UNCHECKED = "cannot be checked"


# a verdict, and the numbers, or what it lacks, as safe Markdown
Finding = tuple[Verdict, str]


def unchecked(lacking: str) -> Finding:
    """The finding of a claim that these results cannot tell, and what they lack."""
    return Verdict.UNCHECKED, lacking


class Decided(Protocol):
    """What lies on the claimed side (1), on the other (−1), or on either for all one knows (0)."""

    def side(self, alpha: float, tests: int = 1) -> int:
        """It, at most `alpha` of such answers being wrong in any of so many tests."""


@dataclass(frozen=True)
class Cell:
    """A number with its interval; above zero it is as claimed."""

    value: float
    low: float
    high: float

    def __sub__(self, other: "Cell | float") -> "Cell":
        """How much more it is; of two cells as if the one were high when the other is low."""
        if isinstance(other, Cell):
            ends = self.low - other.high, self.high - other.low
            return Cell(self.value - other.value, *ends)
        return Cell(self.value - other, self.low - other, self.high - other)

    def __neg__(self) -> "Cell":
        return Cell(-self.value, -self.high, -self.low)

    def __truediv__(self, positive: float) -> "Cell":
        return Cell(self.value / positive, self.low / positive, self.high / positive)

    def above_zero(self) -> "Cell":
        """The same where less than nothing is nothing."""
        return Cell(max(0.0, self.value), max(0.0, self.low), max(0.0, self.high))

    def widened(self, alpha: float, tests: int) -> "Cell":
        """With the interval that it takes for so many to hold together at 1 − `alpha`.

        Each half of the interval grows as a normal distribution's would.
        """
        tails = [NormalDist().inv_cdf(1 - alpha / (2 * count)) for count in (max(1, tests), 1)]
        more = tails[0] / tails[1]
        low = min(self.low, self.value - more * (self.value - self.low))
        return Cell(self.value, low, max(self.high, self.value + more * (self.high - self.value)))

    def side(self, alpha: float, tests: int = 1) -> int:
        wide = self if tests == 1 else self.widened(alpha, tests)
        return int(wide.low > 0) - int(wide.high < 0)

    def shown(self, digits: int = 3) -> str:
        """As evidence: 0.05 (0.01 to 0.09)."""
        value, low, high = (text.fixed(x, digits) for x in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


def exactly(value: float) -> Cell:
    """A number without chance in it."""
    return Cell(value, value, value)


def holds(found: bool) -> Cell:
    """What is so, or is not, without chance in it."""
    return exactly(1.0 if found else -1.0)


def mean(cells: Collection[Cell]) -> Cell:
    """The mean, its interval as wide as if all rose and fell together.

    An interval as wide as the whole scale tells nothing and is left out, if there are others.
    """
    told = [c for c in cells if c.high - c.low < _WHOLE_SCALE] or list(cells)
    return Cell(*(sum(ends) / len(told) for ends in zip(*map(_ends, told), strict=True)))


def _ends(cell: Cell) -> tuple[float, float, float]:
    return cell.value, cell.low, cell.high


def best(cells: Collection[Cell], alpha: float) -> Cell:
    """The largest of several numbers, whichever that is: the choice costs width."""
    wide = [cell.widened(alpha, len(cells)) for cell in cells]
    value, low, high = (max(ends) for ends in zip(*map(_ends, wide), strict=True))
    return Cell(value, low, high)


def on_average(benchmarks: Collection[Cell], alpha: float) -> Verdict:
    """Of a claim about the mean over benchmarks; there is one at least."""
    found = mean(benchmarks).side(alpha)
    if any(c.side(alpha, _tests(benchmarks)) == -found for c in benchmarks):
        return Verdict.UNDECIDED
    return {1: Verdict.SUPPORTED, -1: Verdict.CONTRADICTED, 0: Verdict.UNDECIDED}[found]


def everywhere(cells: Collection[Decided], alpha: float) -> Verdict:
    """Of a claim about each cell; there is one at least."""
    alone = {cell.side(alpha) for cell in cells}
    if alone == {1}:
        return Verdict.SUPPORTED
    together = {cell.side(alpha, _tests(cells)) for cell in cells}
    return Verdict.CONTRADICTED if alone == {-1} or -1 in together else Verdict.UNDECIDED


def somewhere(cells: Collection[Cell], alpha: float) -> Verdict:
    """Of a claim that some cell lies there; there is one at least."""
    return {
        Verdict.SUPPORTED: Verdict.CONTRADICTED,
        Verdict.CONTRADICTED: Verdict.SUPPORTED,
    }.get(everywhere([-cell for cell in cells], alpha), Verdict.UNDECIDED)


def _tests(cells: Collection[Decided]) -> int:
    return len(set(cells))  # the same numbers twice are no second chance to be wrong


def all_of(found: Iterable[Verdict]) -> Verdict:
    """Of a claim that takes all of these."""
    known = set(found)
    if Verdict.CONTRADICTED in known:
        return Verdict.CONTRADICTED
    return Verdict.SUPPORTED if known == {Verdict.SUPPORTED} else Verdict.UNDECIDED


def retained(row: pd.Series) -> Cell:
    """What a scored variant retains; below chance that is nothing, and no end is no bound."""
    low, high = row["retained_low"], row["retained_high"]
    known = Cell(
        float(row["retained"]),
        float("-inf") if pd.isna(low) else float(low),
        float("inf") if pd.isna(high) else float(high),
    )
    return known.above_zero()


def by_benchmark(contests: pd.DataFrame) -> list[Cell]:
    """How much more one series retains than another: a cell a benchmark, its levels averaged."""
    rows = contests.dropna(subset=["difference", "low", "high"])
    grouped = rows.groupby(["model", "task"], sort=False)
    return [
        mean([Cell(*ends) for ends in own[["difference", "low", "high"]].itertuples(index=False)])
        for _, own in grouped
    ]


def average_shown(benchmarks: Collection[Cell], alpha: float) -> str:
    """The numbers of such a comparison, as evidence."""
    sides = [cell.side(alpha, _tests(benchmarks)) for cell in benchmarks]
    return (
        f"retained differs by {mean(benchmarks).shown()} on average over"
        f" {text.numbered(len(benchmarks), 'benchmark')}; surely more in {sides.count(1)}, surely"
        f" less in {sides.count(-1)}"
    )


def at_levels(rows: pd.DataFrame) -> str:
    """The levels at which there are contests: "at 50 % and 90 %"."""
    found = rows.dropna(subset=["difference", "low", "high"])["sparsity"].unique()
    return f"at {text.listing([text.level(float(level)) for level in sorted(found)])}"
