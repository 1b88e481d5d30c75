"""Pruned models: all levels of a method that looks at weights alone, as bit-packed masks."""

import functools
import time
from pathlib import Path
from typing import Any

from analysis import pruning
from analysis.engine.machine import peak_of
from analysis.engine.objects import Objects
from analysis.pruning.masks import write_pruned
from analysis.pruning.outcome import outcome
from analysis.pruning.patterns import parse
from analysis.pruning.prunable import scope_of


def prune_checkpoint(
    objects: Objects,
    *,
    weights_sha256: str,
    method: str,
    levels: list[Any],
    include: list[str],
    exclude: list[str],
    seed: int,
    checkpoint: str,
) -> dict[str, Any]:
    """Record: for each level (a sparsity, or a pattern's text) the masks, what was achieved of
    what, the threshold, the seconds that its selection took (the first has what all share); the
    peak memory of the whole.

    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie.
    """
    with objects.scratch() as scratch:
        handed = (weights_sha256, method, levels, include, exclude, seed, scratch)
        found, peak = peak_of(functools.partial(_prune, objects.open(checkpoint), *handed))
        for i, level in enumerate(found):
            level["masks"] = {"object": objects.adopt(scratch / str(i))}
    return {"levels": found, "peak_bytes": peak}


def _prune(
    folder: Path,
    weights_sha256: str,
    method: str,
    levels: list[Any],
    include: list[str],
    exclude: list[str],
    seed: int,
    scratch: Path,
) -> list[dict[str, Any]]:
    """Write the masks of level i to scratch/i; returns the levels' facts."""
    module = pruning.method(method)
    asked = [parse(level) if isinstance(level, str) else level for level in levels]
    found = []
    with scope_of(folder, module.in_scope, include, exclude) as model:
        scope = model.read(seed)
        start = time.perf_counter()
        for i, selection in enumerate(module.select(scope, asked)):
            seconds = time.perf_counter() - start
            pruned, facts = outcome(model, selection)
            write_pruned(scratch / str(i), pruned, weights_sha256, model.opened.dtypes)
            found.append(facts | {"level": levels[i], "prune_seconds": round(seconds, 4)})
            start = time.perf_counter()
    return found
