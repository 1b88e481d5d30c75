"""From a folder to the weights that may be pruned: the one way that commands and steps take."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from analysis.checkpoints.choice import in_scope
from analysis.checkpoints.naming import Weight
from analysis.checkpoints.opened import Opened, opened
from analysis.checkpoints.outside import no_blocks, outside_facts
from analysis.checkpoints.weights import require_finite
from analysis.engine import threads
from analysis.engine.arrays import Array
from analysis.engine.progress import Meter
from analysis.errors import RequestError
from analysis.pruning.scope import Scope


@dataclass(frozen=True)
class Prunable:
    """A checkpoint, open, and the names of its tensors that are in scope, sorted; all are finite.

    A tied tensor stands under one of its names, the one in whose place the others are pruned too.
    """

    opened: Opened
    names: Sequence[str]

    @property
    def named(self) -> Mapping[str, Weight]:
        """What each parameter is, those that are not in scope too."""
        return self.opened.named

    @property
    def weights(self) -> Mapping[str, Array]:
        """All parameters (see `Opened.weights`), read when they are asked for."""
        return self.opened.weights

    @cached_property
    def outside(self) -> dict[str, Any]:
        """What of the blocks' matrices is not in scope (see `outside_facts`)."""
        return outside_facts(self.opened.shapes, set(self.names))

    @cached_property
    def zeros_elsewhere(self) -> int:
        """How many parameters that are not in scope are zero."""
        return sum(
            self.opened.sizes[name] - int(np.count_nonzero(self.weights[name]))
            for name in self.named.keys() - set(self.names)
        )

    def read(self, seed: int) -> Scope:
        """The tensors in scope, read, as a method that looks at weights alone is handed them."""
        chosen = {name: self.weights[name] for name in self.names}
        return Scope(chosen, self.opened.by_input, seed)


@contextlib.contextmanager
def scope_of(
    folder: Path,
    chosen: Callable[[Weight], bool],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Iterator[Prunable]:
    """The checkpoint in a folder and what of it may be pruned (see `scope_in`)."""
    with opened(folder) as model:
        yield scope_in(model, chosen, include, exclude)


def scope_in(
    model: Opened,
    chosen: Callable[[Weight], bool],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Prunable:
    """What of an open checkpoint may be pruned.

    `chosen` is the method's own choice; with `include`, the tensors that its globs match are in
    scope in its place, and what `exclude` matches is left out. Raises RequestError if nothing is
    in scope; RunError if a weight in scope is NaN or infinite.
    """
    if not include and not any(map(chosen, model.named.values())):
        raise RequestError(no_blocks(model.config, model.shapes))
    names = in_scope(model.named, chosen, include, exclude)
    meter = Meter("tensors looked through", len(names))

    def look_through(name: str) -> None:
        require_finite(model.weights, [name])
        meter.add(1)

    for _ in threads.each(look_through, names):
        pass
    return Prunable(model, names)


def prunable(weight: Weight) -> bool:
    """The choice of most methods: the weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def called_weight(weight: Weight) -> bool:
    """Every parameter named `weight`, whatever its layer."""
    return weight.name.rsplit(".", 1)[-1] == "weight"
