"""Pruned models: all levels of a method that looks at weights alone, as bit-packed masks."""

import functools
from typing import Any

from analysis import pruning
from analysis.engine.machine import peak_of
from analysis.engine.objects import Objects
from analysis.pruning.patterns import parse
from analysis.pruning.prunable import scope_of
from analysis.pruning.selection import select
from analysis.steps.pruning.levels import write_levels


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
    module, folder = pruning.method(method), objects.open(checkpoint)
    asked = [parse(level) if isinstance(level, str) else level for level in levels]

    def prune() -> list[dict[str, Any]]:
        with scope_of(folder, module.in_scope, include, exclude) as model:
            scope = model.read(seed)
            selections = functools.partial(select, module, scope, asked)
            return write_levels(scratch, model, levels, selections, weights_sha256)

    with objects.scratch() as scratch:
        found, peak = peak_of(prune)
        for i, level in enumerate(found):
            level["masks"] = {"object": objects.adopt(scratch / str(i))}
    return {"levels": found, "peak_bytes": peak}
