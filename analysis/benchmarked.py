"""One model on one task: the dense model and all its variants, pruned, trained, scored and sized.

Every variant goes on as soon as it is there: a level is scored while others are still pruned.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any

from analysis import (
    alternative_calls,
    calls,
    data_calls,
    model_calls,
    pruning,
    pruning_calls,
    rows,
    scores,
    variants,
)
from analysis.data_calls import Data
from analysis.rows import Rows
from analysis.runner import Runs
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


class Prunings:
    """The prunings of one dense checkpoint; each is begun once, whoever needs it.

    `data` is the task's that is calibrated and trained on.
    """

    def __init__(self, study: Study, runner: Runs, dense: Variant, data: Data):
        self._study, self._runner, self._dense, self._data = study, runner, dense, data
        self._begun: dict[str, asyncio.Future[Any]] = {}

    async def levels(self, method: str) -> list[Variant]:
        """The method's variants of the dense model: failed ones if its step failed."""
        study, dense = self._study, self._dense
        protocol = "fine-tuned" if pruning.kind(method) == "trained" else "one-shot"
        if method not in self._begun:
            call = pruning_calls.prune(study, dense, self._data, method)
            self._begun[method] = asyncio.ensure_future(self._runner.attempt(call))
        record, reason = await self._begun[method]
        if record is None:
            return [
                variants.failed_variant(study, dense, method, protocol, level, str(reason))
                for level in pruning_calls.levels(study, method)
            ]
        return [
            variants.pruned_variant(study, dense, method, protocol, record, level)
            for level in record["levels"]
        ]


async def fine_tuned(
    study: Study, runner: Runs, model: Model, base: Variant, data: Data
) -> Benchmark:
    """A copy of the model fine-tuned for the task, and all variants of that.

    Where it cannot be had there is nothing to compare with, and it stands alone, as failed.
    """
    call = model_calls.fine_tune(study, model, base, data.task, data.training)
    tuned, reason = await runner.attempt(call)
    if tuned is None:
        lost = variants.failed_dense(study, model, data.task, base.seed, str(reason))
        return Benchmark([Scored(lost, {})], [])
    dense = variants.dense_variant(study, model, data.task, base.seed, tuned)
    prunings = Prunings(study, runner, dense, data)
    return await benchmark(study, runner, model, dense, data, prunings)


async def benchmark(
    study: Study, runner: Runs, model: Model, dense: Variant, data: Data, prunings: Prunings
) -> Benchmark:
    """The dense model and all its variants on a task.

    What fails is a variant with that status, and nothing else is lost by it.
    """
    work = _Work(study, runner, model, dense, data, prunings)
    *parts, scored = await all_of([*work.parts(), work.scored(dense)])
    return Benchmark(
        [scored, *(variant for group, _ in parts for variant in group)],
        [more for _, listed in parts for more in listed],
    )


class _Work:
    """What is to be done on one dense model and task."""

    def __init__(
        self,
        study: Study,
        runner: Runs,
        model: Model,
        dense: Variant,
        data: Data,
        prunings: Prunings,
    ):
        self._study, self._runner, self._model = study, runner, model
        self._dense, self._data, self._levels = dense, data, prunings.levels
        self._grown = Prunings(study, runner, dense, data)  # those that train are the task's own
        self._leads = dense.seed == study.seeds[0]  # what is shown once is shown of this seed
        recovery = study.recovery
        self._trained = recovery is not None and data.task in recovery.tasks
        self._methods = [
            method for method in study.methods if self._trained or pruning.kind(method) != "trained"
        ]

    def parts(self) -> list[Awaitable[Found]]:
        """The variants of each method, those trained on, those of sensitivity, alternatives."""
        study = self._study
        work: list[Awaitable[Found]] = [self._pruned(method) for method in self._methods]
        if self._trained:
            work += [self._recovered(p) for p in study.protocols if p != "one-shot"]
            if (self._model, self._data.task) == _first_trained(study) and self._leads:
                work.append(self._unmasked())
        if study.sensitivity is not None and self._data.task in study.sensitivity.tasks:
            work.append(self._sensitive())
        if study.alternatives is not None and self._data.task in study.alternatives.tasks:
            work += [self._alternative(kind) for kind in study.alternatives.kinds]
        return work

    async def scored(self, variant: Variant) -> Scored:
        """The variant with its bytes and its evaluation; or with why there are none."""
        if not variant.reached:
            return Scored(variant, {})
        task, test = self._data.task, self._data.test
        (evaluation, unanswered), (sizes, unstored) = await all_of(
            [
                self._runner.attempt(calls.evaluate(self._study, variant, task, test)),
                self._runner.attempt(calls.size(self._study, variant)),
            ]
        )
        if reason := unanswered or unstored:
            variant = variants.failed(variant, reason)
        return Scored(variant, sizes or {}, evaluation)

    async def _pruned(self, method: str) -> Found:
        if pruning.kind(method) != "trained":
            found = await self._levels(method)
        else:
            levels = await self._grown.levels(method)
            found = [variants.trained_for(variant, self._data.task) for variant in levels]
        return await all_of(self.scored(variant) for variant in found), []

    async def _to_train(self) -> list[Variant]:
        """The variants that training starts from."""
        assert self._study.recovery is not None
        levels = self._study.recovery.sparsities
        found = await self._levels(self._study.recovery.method)
        task = self._data.task
        return [variants.trained_for(v, task) for v in found if v.sparsity in levels]

    async def _recovered(self, protocol: str) -> Found:
        async def one(pruned: Variant) -> tuple[Scored, list[Rows]]:
            if not pruned.reached:
                return Scored(variants.renamed(pruned, protocol), {}), []
            call = pruning_calls.recover(self._study, pruned, self._data, protocol)
            record, reason = await self._runner.attempt(call)
            if record is None:
                lost = variants.failed(variants.renamed(pruned, protocol), str(reason))
                return Scored(lost, {}), []
            variant = variants.recovered_variant(pruned, protocol, record)
            return await self.scored(variant), [rows.recovery_rows(variant, record, True)]

        found = await all_of(one(pruned) for pruned in await self._to_train())
        return [scored for scored, _ in found], [more for _, listed in found for more in listed]

    async def _unmasked(self) -> Found:
        """Once: the same training without masks, of which only the zeros are counted."""
        recovery = self._study.recovery
        assert recovery is not None
        for pruned in await self._levels(recovery.method):
            if pruned.sparsity == recovery.unmasked_at and pruned.reached:
                call = pruning_calls.recover_without_masks(self._study, pruned, self._data)
                record, _ = await self._runner.attempt(call)
                if record is not None:
                    return [], [rows.recovery_rows(pruned, record, False)]
        return [], []

    async def _sensitive(self) -> Found:
        study, dense, task = self._study, self._dense, self._data.task
        assert study.sensitivity is not None
        drawn = data_calls.validation(self._data, study.sensitivity.examples)
        validation, _ = await self._runner.attempt(drawn)
        if validation is None:
            return [], []
        record, _ = await self._runner.attempt(calls.sensitivity(study, dense, task, validation))
        if record is None:
            return [], []
        listed = scores.sensitivity_rows(study, dense, task, record, validation["chance"])
        tensors = {name: cell["group"] for cell in record["cells"] for name in cell["tensors"]}

        async def one(level: float) -> list[Scored]:
            shares = scores.shares(listed, level)
            own = {name: shares[group] for name, group in tensors.items()}
            pruned, _ = await self._runner.attempt(pruning_calls.prune_allocated(dense, level, own))
            if pruned is None:
                return []
            variant = variants.allocated_variant(study, dense, shares, pruned, task)
            return [await self.scored(variant)]

        found = await all_of(one(level) for level in study.sensitivity.allocate)
        return list(itertools.chain(*found)), [{"sensitivity": listed}] if self._leads else []

    async def _alternative(self, kind: str) -> Found:
        call = alternative_calls.make(self._study, self._dense, self._data, kind)
        record, reason = await self._runner.attempt(call)
        if record is None:
            task, seed = self._data.task, self._dense.seed
            lost = variants.failed_dense(
                self._study, self._model, task, seed, str(reason), kind=kind
            )
            return [Scored(lost, {})], []
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
