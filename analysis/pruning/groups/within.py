"""What the groups inside one matrix have in common."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.engine.arrays import Mask
from analysis.pruning.kernels import Keys
from analysis.pruning.scope import Scope

KeysOf = Callable[[str], Keys]
# from a level, and of each matrix the sizes of its groups: how much goes of each of these
Allocation = Callable[[Any, Mapping[str, Sequence[int]]], Mapping[str, Any]]
# the masks of a level, and the largest key that is removed where one decides over all tensors
Choice = tuple[Mapping[str, Mask], int | None]


@dataclass(frozen=True)
class Within:
    """Groups inside each matrix [..., in]; among equal keys the first go.

    sizes      of a matrix of that shape: how many weights each of its groups has
    keep       of a matrix's keys, contiguous, and what goes of its groups: the mask
    as_stored  whether those are first that are stored first, not those of the first outputs
    require    raises RequestError if tensors of a scope have no such groups
    """

    sizes: Callable[[tuple[int, ...]], Sequence[int]]
    keep: Callable[[Keys, Any], Mask]
    as_stored: bool = False
    require: Callable[[Scope, Any], None] = lambda scope, level: None

    def quotas(
        self, shapes: Mapping[str, tuple[int, ...]], level: Any, allocate: Allocation
    ) -> Mapping[str, Any]:
        """What goes of each group of each of these matrices, as `keep` takes it."""
        return allocate(level, {name: self.sizes(shape) for name, shape in shapes.items()})

    def choose(
        self, keys: KeysOf, scope: Scope, levels: Sequence[Any], allocate: Allocation
    ) -> Iterable[Choice]:
        """Masks of each level, as the tensors are stored."""
        lay = (replace(scope, by_input=frozenset()) if self.as_stored else scope).outputs_first
        shapes = {name: lay(name, array).shape for name, array in scope.weights.items()}
        for level in levels:
            self.require(scope, level)
            quotas, masks = self.quotas(shapes, level, allocate), {}
            for name, shape in shapes.items():
                matrix = np.ascontiguousarray(lay(name, keys(name)))
                masks[name] = lay(name, self.keep(matrix, quotas[name]).reshape(shape))
            yield masks, None
