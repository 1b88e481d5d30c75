"""What many contests between the same two series say together."""

from dataclasses import dataclass

import pandas as pd

from analysis.paper import text


@dataclass(frozen=True)
class Contest:
    """What one series retains more than another: the mean over cells, and where beyond chance.

    The interval of the mean goes from the mean of the lower ends to that of the upper ones, which
    is as wide as if all cells rose and fell together: they share models and examples.
    """

    mean: float
    low: float
    high: float
    better: int
    worse: int
    cells: int

    @property
    def shown(self) -> str:
        """The numbers, as evidence for a claim."""
        ends = f"{text.fixed(self.low, 3)} to {text.fixed(self.high, 3)}"
        return (
            f"retained differs by {text.fixed(self.mean, 3)} on average ({ends}); better in"
            f" {self.better}, worse in {self.worse} of {self.cells} cells, beyond the paired"
            " intervals"
        )


def contest(rows: pd.DataFrame) -> Contest | None:
    """What such rows of contests say together; None if there are none."""
    rows = rows.dropna(subset=["difference", "low", "high"])
    if rows.empty:
        return None
    return Contest(
        mean=float(rows["difference"].mean()),
        low=float(rows["low"].mean()),
        high=float(rows["high"].mean()),
        better=int((rows["low"] > 0).sum()),
        worse=int((rows["high"] < 0).sum()),
        cells=len(rows),
    )
