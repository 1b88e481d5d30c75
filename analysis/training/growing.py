"""Gradual pruning: weights are removed while a model trains, level after level."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.engine.arrays import Mask
from analysis.pruning.methods import gradual
from analysis.pruning.scope import Scope
from analysis.pruning.selection import select
from analysis.training.course import Course
from analysis.training.recovery import EpochCounts, Keeper, require_kept, train_course

_RAMP = 0.3  # the share of a level's steps in which weights are removed; the others only tune
_STEPS_BETWEEN_SELECTIONS = 5


@dataclass(frozen=True)
class Level:
    """A model that has grown to one sparsity; its weights are the model's when it is handed over.

    masks          by tensor name; True keeps
    threshold      the largest magnitude that the last selection removed
    prune_seconds  that selecting took on the way from the level below
    losses         of every step on that way
    zeros          entries removed by then, and zero, after each epoch on that way and at its end
    """

    sparsity: float
    masks: dict[str, Mask]
    threshold: float | None
    prune_seconds: float
    losses: list[float]
    zeros: list[int]


def grow_sparse(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    names: Collection[str],
    sparsities: Collection[float],
    course: Course,
) -> Iterator[Level]:
    """Gradual magnitude pruning of the parameters `names`, through all levels, the lowest first.

    Each level takes one course from where the level below it ended, with a learning rate of its
    own that rises and falls. Weights are removed in the first 30 % of its steps, on the cubic
    schedule, by a new global selection every few steps; what is left is tuned in the rest. The
    model is trained in place and is at a level when that is yielded. Raises RunError if training
    diverges, or if a removed weight is not zero after some epoch.
    """
    course = course.read_by(model, tokenizer)
    keeper = Keeper(model)
    below = 0.0
    try:
        for number, sparsity in enumerate(sorted(set(sparsities))):
            shuffled = replace(course, seed=course.seed + number)  # each level has another order
            ramp = _Ramp(keeper, names, max(1, round(_RAMP * course.steps)), below, sparsity)
            epochs = EpochCounts(course, lambda: require_kept(model, keeper.masks))
            losses = train_course(model, tokenizer, shuffled, [ramp.step, epochs.step])
            yield Level(sparsity, keeper.masks, ramp.threshold, ramp.seconds, losses, epochs.counts)
            below = sparsity
    finally:
        keeper.let_go()


class _Ramp:
    """Removes ever more, over the first `steps` steps, until the sparsity `end` is reached."""

    def __init__(
        self, keeper: Keeper, names: Collection[str], steps: int, start: float, end: float
    ):
        self.threshold: float | None = None
        self.seconds = 0.0
        self._keeper, self._names = keeper, names
        self._steps, self._start, self._end, self._done = steps, start, end, 0

    def step(self) -> None:
        """After each update: what is removed back to zero, and now and then more removed.

        In that order: zeros rank first, so what is removed stays among the removed.
        """
        self._done += 1
        self._keeper.put_back()
        if self._done == self._steps or (
            self._done < self._steps and self._done % _STEPS_BETWEEN_SELECTIONS == 0
        ):
            started = time.perf_counter()
            wanted = sparsity_at(self._done, self._steps, self._start, self._end)
            scope = Scope(self._keeper.weights(self._names))
            (selection,) = select(gradual, scope, [wanted])
            self._keeper.remove(dict(selection.masks))
            self.threshold = selection.threshold
            self.seconds += time.perf_counter() - started


def sparsity_at(step: int, steps: int, start: float, end: float) -> float:
    """The cubic schedule of Zhu and Gupta 2017 (arXiv 1710.01878): from `start` before the first
    of `steps` to `end` after the last.

    It removes fast at first, while there is much that is not needed, and ever more slowly.
    """
    if step >= steps:
        return end  # exactly, which the formula gives only up to rounding
    return end + (start - end) * (1 - max(step, 0) / steps) ** 3
