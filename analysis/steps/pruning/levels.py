"""What the steps that prune by masks share: the levels of a method, written one after the other."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from analysis.pruning.masks import write_pruned
from analysis.pruning.outcome import outcome
from analysis.pruning.prunable import Prunable
from analysis.pruning.selection import Selection


def write_levels(
    scratch: Path,
    model: Prunable,
    levels: Sequence[Any],
    select: Callable[[], Iterable[Selection]],
    weights_sha256: str,
) -> list[dict[str, Any]]:
    """Write the masks of level i, as selected, to scratch/i; returns the levels' facts, the seconds
    of each selection among them (the first has what all share)."""
    found = []
    start = time.perf_counter()
    for i, selection in enumerate(select()):
        seconds = time.perf_counter() - start
        pruned, facts = outcome(model, selection)
        write_pruned(scratch / str(i), pruned, weights_sha256, model.opened.dtypes)
        found.append(facts | {"level": levels[i], "prune_seconds": round(seconds, 4)})
        start = time.perf_counter()
    return found
