"""How much what is retained varies over seeds, under the leading method."""

from dataclasses import dataclass

import pandas as pd

from analysis.paper.cells import Cell
from analysis.paper.data import Data


@dataclass(frozen=True)
class Spread:
    """What one benchmark retains at a level, from the least to the most over seeds."""

    cell: Cell
    level: float
    least: float
    most: float
    scores: pd.DataFrame


def spreads(data: Data, cells: list[Cell]) -> list[Spread]:
    """That of each benchmark and level that was scored with several seeds."""
    found = []
    for cell in cells if len(data.seeds) > 1 else ():
        for level in data.levels:
            scores = data.scores_by_seed(cell, data.leading, level)
            kept = scores["retained"].astype(float)
            if len(kept) > 1:
                found.append(Spread(cell, level, float(kept.min()), float(kept.max()), scores))
    return found
