"""What a selection leaves of a checkpoint: its masks packed once, and how much is zero."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from analysis.checkpoints import naming
from analysis.engine.arrays import Mask
from analysis.pruning.bitmaps import BitMasks
from analysis.pruning.masks import Pruned
from analysis.pruning.prunable import Prunable
from analysis.pruning.selection import Selection


def outcome(model: Prunable, selection: Selection) -> tuple[Pruned, dict[str, Any]]:
    """The pruned model, and what was achieved of what; zeros that were there before count.

    New values are those that the types of the checkpoint hold. Raises RunError if one of these is
    not finite.
    """
    masks, zeros, size = BitMasks(), 0, 0
    values = model.opened.as_stored(selection.values)
    for name in model.names:
        mask = selection.masks[name]
        masks.add(name, mask)
        size += mask.size
        left = values[name] if name in values else model.weights[name]
        zeros += mask.size - int(np.count_nonzero(left * mask))
    facts = {
        "sparsity": selection.sparsity,
        "achieved": zeros / size,
        "scope_weights": size,
        "whole_model": (zeros + model.zeros_elsewhere) / sum(model.opened.sizes.values()),
        "outside_share": model.outside["share"],
        "threshold": selection.threshold,
        "notes": dict(selection.notes),
        "calibrated_on": dict(selection.calibrated_on),
        "unheard_inputs": unheard_inputs(masks, model.opened.by_input),
    }
    return Pruned(masks, values), facts


def unheard_inputs(masks: Mapping[str, Mask], by_input: Collection[str]) -> float | None:
    """The share of the inputs of linear layers that no kept weight reads, mean over matrices.

    `by_input` names the matrices that are stored [in, out]. None if no matrix of a block was in
    scope.
    """
    shares = []
    for name in masks:
        if naming.weight(name).prunable:
            stored = masks[name]
            matrix = stored.swapaxes(-1, -2) if name in by_input else stored
            heard = matrix.reshape(-1, matrix.shape[-1]).any(axis=0)
            shares.append(1 - float(heard.mean()))
    return sum(shares) / len(shares) if shares else None
