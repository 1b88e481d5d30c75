"""How many times as fast as dense, with intervals."""

import pandas as pd

from analysis.execution.names import DENSE
from analysis.paper.data import Data
from analysis.paper.verdicts import Cell, best

FASTER = 1.10  # the dense speed that many times counts as faster


def _speedup(row: pd.Series) -> Cell:
    """How many times as fast as dense it is; an unknown end is no bound."""
    low, high = row["speedup_low"], row["speedup_high"]
    return Cell(
        float(row["speedup"]),
        0.0 if pd.isna(low) else float(low),
        float("inf") if pd.isna(high) else float(high),
    )


def speedups(table: pd.DataFrame) -> list[Cell]:
    """Those of the rows, in order."""
    return [_speedup(row) for _, row in table.iterrows()]


def fastest_at_true_size(data: Data) -> dict[float, Cell]:
    """How many times as fast as dense the fastest sparse kernel is, level by level."""
    table = data["replicas"]
    return fastest(table[table["kernel"] != DENSE], data.alpha)


def fastest(table: pd.DataFrame, alpha: float) -> dict[float, Cell]:
    """The fastest of the rows, level by level."""
    return {float(level): best(speedups(rows), alpha) for level, rows in table.groupby("sparsity")}
