"""What a method decides, and its decisions from the weights alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from analysis.engine.arrays import Array, Mask
from analysis.pruning.groups.within import Allocation
from analysis.pruning.patterns import Level, sparsity_of
from analysis.pruning.scope import Scope


@dataclass(frozen=True)
class Selection:
    """What a method decides at one level.

    masks          by tensor name, of the tensor's shape; True keeps. They may be made when asked
                   for.
    threshold      the largest magnitude removed, or None where no one threshold decides
    values         the tensors whose kept weights the method changed, zero where it removed
    notes          what a reader should know of how it went, by tensor
    calibrated_on  what a calibrated method looked at (`calibration.batches.facts`)
    """

    sparsity: float
    masks: Mapping[str, Mask]
    threshold: float | None
    values: Mapping[str, Array] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    calibrated_on: Mapping[str, Any] = field(default_factory=dict)


def select(
    method: ModuleType,
    scope: Scope,
    levels: Sequence[Level],
    allocation: Allocation | None = None,
) -> Iterable[Selection]:
    """One selection a level, in the given order, of a method that looks at weights alone.

    The weights stay as they are. `allocation` is taken in place of the method's own. Raises
    RequestError if the method cannot choose within a tensor of the scope.
    """
    ranking = method.SCORE(scope)
    choices = method.GROUP.choose(ranking.keys, scope, levels, allocation or method.ALLOCATION)
    for level, (masks, key) in zip(levels, choices, strict=True):
        threshold = None if key is None else ranking.value(key)
        yield Selection(sparsity_of(level), masks, threshold)
