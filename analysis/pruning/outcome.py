"""What a selection leaves of a checkpoint: its masks packed once, and how much is zero."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from analysis.arrays import Array, Mask
from analysis.models import naming
from analysis.pruning.bitmaps import BitMasks
from analysis.pruning.masks import Pruned
from analysis.pruning.scope import stored_by_input
from analysis.pruning.selection import Selection


def outcome(
    weights: Mapping[str, Array], scope: Iterable[str], selection: Selection
) -> tuple[Pruned, dict[str, Any]]:
    """The pruned model, and what was achieved of what; zeros that were there before count.

    weights   all parameters, each tied one once
    scope     the names of those that the method could remove
    """
    masks, zeros, size = BitMasks(), 0, 0
    inside = set(scope)
    for name in sorted(inside):
        mask = selection.masks[name]
        masks.add(name, mask)
        size += mask.size
        left = selection.values.get(name, weights[name])
        zeros += mask.size - int(np.count_nonzero(left * mask))
    elsewhere = sum(
        array.size - int(np.count_nonzero(array)) for n, array in weights.items() if n not in inside
    )
    whole = sum(array.size for array in weights.values())
    facts = {
        "sparsity": selection.sparsity,
        "achieved": zeros / size,
        "scope_weights": size,
        "whole_model": (zeros + elsewhere) / whole,
        "threshold": selection.threshold,
        "notes": dict(selection.notes),
        "calibrated_on": dict(selection.calibrated_on),
        "unheard_inputs": unheard_inputs(masks),
    }
    return Pruned(masks, selection.values), facts


def unheard_inputs(masks: Mapping[str, Mask]) -> float | None:
    """The share of the inputs of linear layers that no kept weight reads, mean over matrices.

    None if no matrix of a block was in scope.
    """
    by_input = stored_by_input({name: masks[name].shape for name in masks})
    shares = []
    for name in masks:
        if naming.weight(name).prunable:
            stored = masks[name]
            matrix = stored.T if name in by_input else stored
            heard = matrix.reshape(-1, matrix.shape[-1]).any(axis=0)
            shares.append(1 - float(heard.mean()))
    return sum(shares) / len(shares) if shares else None
