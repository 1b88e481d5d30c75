"""What the experiments on one dense model and task share; each adds variants to it.

Every variant goes on as soon as it is there: a level is scored while others are still pruned.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from analysis.engine.runner import Runs, all_of
from analysis.experiments import quality, sizes
from analysis.experiments.examples import Data
from analysis.experiments.variant import Scored, Variant, failed
from analysis.results import Rows
from analysis.study import Study
from analysis.study.sections import Model

Found = tuple[list[Scored], list[Rows]]  # variants, and rows of further tables


@dataclass(frozen=True)
class Work:
    """A dense model on a task.

    levels   the variants of the dense model by a method of pruning; each is begun once, whoever
             needs it
    """

    study: Study
    runner: Runs
    model: Model
    dense: Variant
    data: Data
    levels: Callable[[str], Awaitable[list[Variant]]]

    @property
    def leads(self) -> bool:
        """Whether it is of the first seed, of which what is shown once is shown."""
        return self.dense.seed == self.study.seeds[0]

    @property
    def is_trained_on(self) -> bool:
        """Whether pruned models are trained on this task."""
        recovery = self.study.recovery
        return recovery is not None and self.data.task in recovery.tasks

    async def scored(self, variant: Variant) -> Scored:
        """The variant with its bytes and its evaluation; or with why there are none."""
        if not variant.reached:
            return Scored(variant, {})
        task, test = self.data.task, self.data.test
        (evaluation, unanswered), (stored, unstored) = await all_of(
            [
                self.runner.attempt(quality.evaluate(self.study, variant, task, test)),
                self.runner.attempt(sizes.size(self.study, variant)),
            ]
        )
        if reason := unanswered or unstored:
            variant = failed(variant, reason)
        return Scored(variant, stored or {}, evaluation)
