"""Prunes a loaded model by a calibrated method, block after block, in place."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from analysis.calibration.lockstep import blocks
from analysis.calibration.matrices import Matrix, matrices
from analysis.errors import RunError
from analysis.models.encoding import Batch
from analysis.pruning.bitmaps import BitMasks
from analysis.pruning.patterns import Level, sparsity_of
from analysis.pruning.selection import Selection
from analysis.pruning.updates import Kept


@dataclass(frozen=True)
class Calibration:
    """A model, loaded anew for each level, and the batches to run it on.

    load      gives the dense model
    batches   makes the batches for it (see `analysis.calibration.batches`)
    facts     what is to be said of these batches
    """

    load: Callable[[], PreTrainedModel]
    batches: Callable[[PreTrainedModel], Sequence[Batch]]
    facts: Callable[[Sequence[Batch]], Mapping[str, Any]] = lambda batches: {}


def select(
    method: ModuleType, names: Iterable[str], levels: Sequence[Level], calibration: Calibration
) -> Iterator[Selection]:
    """One selection a level, each from the dense model on. `names` are stored tensor names."""
    names = list(names)
    for level in levels:
        model = calibration.load()
        found, batches = matrices(model, names), calibration.batches(model)
        selection = prune_in_place(method, model, batches, found, level)
        yield replace(selection, calibrated_on=calibration.facts(batches))


def prune_in_place(
    method: ModuleType,
    model: PreTrainedModel,
    batches: Sequence[Batch],
    found: Sequence[Matrix],
    level: Level,
) -> Selection:
    """Prune these matrices of the model to a level; each block sees those before it pruned.

    The selection's values are the model's own memory.
    """
    by_name = {matrix.name: matrix for matrix in found}
    shapes = {name: tuple(by_name[name].outputs_first.shape) for name in sorted(by_name)}
    quotas = method.GROUP.quotas(shapes, level, method.ALLOCATION)
    masks, notes, changed = BitMasks(), {}, []
    with contextlib.closing(blocks(model, batches, found, method.UPDATE.PRODUCTS)) as steps:
        for inputs in steps:
            for name in list(inputs):  # each is let go as soon as its matrix is done
                matrix = by_name[name]
                known, quota = inputs.pop(name), quotas[name]
                kept = method.UPDATE.prune(method, matrix.outputs_first, known, quota)
                _put(matrix, kept)
                masks.add(name, np.ascontiguousarray(matrix.as_stored(torch.from_numpy(kept.mask))))
                if kept.weight is not None:
                    changed.append(name)
                if kept.note:
                    notes[name] = kept.note
    values = {
        name: by_name[name].module.get_parameter("weight").data.float().cpu().numpy()
        for name in changed
    }
    return Selection(sparsity_of(level), masks, None, values, notes)


def _put(matrix: Matrix, kept: Kept) -> None:
    weight = matrix.outputs_first
    if kept.weight is not None:
        if not kept.weight.isfinite().all():
            raise RunError(
                f"{matrix.name}: corrected weights are not finite; calibrate on more texts"
            )
        weight.copy_(kept.weight)
    weight.masked_fill_(torch.from_numpy(~kept.mask).to(weight.device), 0)
