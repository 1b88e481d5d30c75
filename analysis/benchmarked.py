"""One model on one task: the dense model and all its variants, pruned, trained, scored and sized.

Every variant goes on as soon as it is there: a level is scored while others are still pruned.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any

from analysis import alternative_calls, calls, pruning, pruning_calls, rows, scores, variants
from analysis.memo import Record
from analysis.models.catalogue import BUILTIN
from analysis.rows import Rows
from analysis.runner import Runner
from analysis.study import Model, Study
from analysis.variants import Scored, Variant

Found = tuple[list[Scored], list[Rows]]


@dataclass(frozen=True)
class Benchmark:
    """A model on a task.

    group   the dense model first, then its variants in the study's order
    more    rows of further tables
    """

    group: list[Scored]
    more: list[Rows]


async def benchmark(
    study: Study, runner: Runner, model: Model, base: Variant, task: str, examples: Record
) -> Benchmark:
    """The dense model of one task and all its variants."""
    dense = base
    if task not in BUILTIN[model.name].pretrained:
        tuned = await runner.run(calls.fine_tune(study, model, base, task))
        dense = variants.dense_variant(study, model, task, base.seed, tuned)
    work = _Work(study, runner, model, dense, task, examples)
    parts = await all_of(work.parts())
    scored = await work.scored(dense)
    return Benchmark(
        [scored, *(variant for group, _ in parts for variant in group)],
        [more for _, listed in parts for more in listed],
    )


class _Work:
    """What is to be done on one dense model; each pruning is begun once, whoever needs it."""

    def __init__(
        self,
        study: Study,
        runner: Runner,
        model: Model,
        dense: Variant,
        task: str,
        examples: Record,
    ):
        self._study, self._runner, self._model = study, runner, model
        self._dense, self._task, self._examples = dense, task, examples
        self._leads = dense.seed == study.seeds[0]  # what is shown once is shown of this seed
        recovery = study.recovery
        self._trained = recovery is not None and task in recovery.tasks
        self._prunings = {
            method: asyncio.ensure_future(
                runner.run(pruning_calls.prune(study, dense, task, method))
            )
            for method in study.methods
            if self._trained or pruning.kind(method) != "trained"
        }

    def parts(self) -> list[Awaitable[Found]]:
        """The variants of each method, those trained on, those of sensitivity, alternatives."""
        study = self._study
        work: list[Awaitable[Found]] = [self._pruned(method) for method in self._prunings]
        if self._trained:
            work += [self._recovered(p) for p in study.protocols if p != "one-shot"]
            if (self._model, self._task) == _first_trained(study) and self._leads:
                work.append(self._unmasked())
        if study.sensitivity is not None and self._task in study.sensitivity.tasks:
            work.append(self._sensitive())
        if study.alternatives is not None and self._task in study.alternatives.tasks:
            work += [self._alternative(kind) for kind in study.alternatives.kinds]
        return work

    async def scored(self, variant: Variant) -> Scored:
        """The variant with its bytes and its evaluation."""
        if not variant.reached:
            return Scored(variant, {})
        evaluation, sizes = await all_of(
            [
                self._runner.run(calls.evaluate(self._study, variant, self._task, self._examples)),
                self._runner.run(calls.size(self._study, variant)),
            ]
        )
        return Scored(variant, sizes, evaluation)

    async def _levels(self, method: str) -> list[Variant]:
        record = await self._prunings[method]
        protocol = "fine-tuned" if pruning.kind(method) == "trained" else "one-shot"
        return [
            variants.pruned_variant(self._study, self._dense, method, protocol, record, level)
            for level in record["levels"]
        ]

    async def _pruned(self, method: str) -> Found:
        return await all_of(self.scored(variant) for variant in await self._levels(method)), []

    async def _to_train(self) -> list[Variant]:
        """The variants that training starts from."""
        assert self._study.recovery is not None
        levels = self._study.recovery.sparsities
        found = await self._levels(self._study.recovery.method)
        return [variant for variant in found if variant.sparsity in levels]

    async def _recovered(self, protocol: str) -> Found:
        async def one(pruned: Variant) -> tuple[Scored, Rows]:
            call = pruning_calls.recover(self._study, pruned, self._task, protocol)
            record = await self._runner.run(call)
            variant = variants.recovered_variant(pruned, protocol, record)
            return await self.scored(variant), rows.recovery_rows(variant, record, True)

        found = await all_of(one(pruned) for pruned in await self._to_train())
        return [scored for scored, _ in found], [listed for _, listed in found]

    async def _unmasked(self) -> Found:
        """Once: the same training without masks, of which only the zeros are counted."""
        recovery = self._study.recovery
        assert recovery is not None
        for pruned in await self._levels(recovery.method):
            if pruned.sparsity == recovery.unmasked_at:
                call = pruning_calls.recover_without_masks(self._study, pruned, self._task)
                record = await self._runner.run(call)
                return [], [rows.recovery_rows(pruned, record, False)]
        return [], []

    async def _sensitive(self) -> Found:
        study, dense, task = self._study, self._dense, self._task
        assert study.sensitivity is not None
        validation = await self._runner.run(
            calls.validation(study, task, self._examples, study.sensitivity.examples)
        )
        record = await self._runner.run(calls.sensitivity(study, dense, task, validation))
        listed = scores.sensitivity_rows(study, dense, task, record, validation["chance"])
        tensors = {name: cell["group"] for cell in record["cells"] for name in cell["tensors"]}

        async def one(level: float) -> Scored:
            shares = scores.shares(listed, level)
            own = {name: shares[group] for name, group in tensors.items()}
            pruned = await self._runner.run(pruning_calls.prune_allocated(dense, level, own))
            return await self.scored(variants.allocated_variant(study, dense, shares, pruned))

        found = await all_of(one(level) for level in study.sensitivity.allocate)
        return found, [{"sensitivity": listed}] if self._leads else []

    async def _alternative(self, kind: str) -> Found:
        call = alternative_calls.make(self._study, self._dense, self._task, kind)
        record = await self._runner.run(call)
        found = alternative_calls.found(self._study, self._dense, kind, record)
        return await all_of(self.scored(variant) for variant in found), []


def _first_trained(study: Study) -> tuple[Model, str] | None:
    """The first model and task that is trained on after pruning."""
    assert study.recovery is not None
    pairs = [(m, t) for m in study.models for t in m.tasks if t in study.recovery.tasks]
    return pairs[0] if pairs else None


async def all_of(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """The results in order, computed side by side."""
    return list(await asyncio.gather(*work))
