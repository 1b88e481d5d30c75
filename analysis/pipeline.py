"""The steps of a study, in order, over its grid of models, tasks, methods and levels.

Each model's chain (pretrain, fine-tune, prune, then store and evaluate every level) runs as soon as
its inputs are there; timings come last and run alone.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from analysis import calls, rows
from analysis.memo import Record
from analysis.models.catalogue import BUILTIN
from analysis.rows import Rows, Scored, Variant
from analysis.runner import Runner
from analysis.study import Model, Study

DENSE = "dense"


async def run_study(study: Study, runner: Runner) -> Rows:
    """The rows of every result table."""
    examples = dict(
        zip(
            study.examples,
            await _all(runner.run(calls.examples(study, task)) for task in study.examples),
            strict=True,
        )
    )
    parts = await _all(_model_rows(study, runner, model, examples) for model in study.models)
    merged = rows.merge([rows.task_rows(examples), *(part for part, _ in parts)])
    for model, (_, timed) in zip(study.models, parts, strict=True):
        record = await runner.run_alone(calls.latency(study, model, timed))
        merged["runtime"] += rows.runtime_rows(timed, record)
    return merged


async def _model_rows(
    study: Study, runner: Runner, model: Model, examples: dict[str, Record]
) -> tuple[Rows, list[Variant]]:
    """A model's rows, and the variants whose latency is to be measured."""
    collected: list[Rows] = []
    timed: list[Variant] = []
    for seed in study.seeds:
        record = await runner.run(calls.pretrain(model.name, seed, study.compute.threads))
        base = rows.base_variant(study, model, seed, record)
        by_task = await _all(
            _scored_task(study, runner, model, base, task, examples[task]) for task in model.tasks
        )
        if all(group[0].variant != base for group in by_task):  # the pretrained model's own bytes
            sizes = await runner.run(calls.size(study, base))
            collected.append(rows.scored_rows(study, [Scored(base, sizes)], "", {}))
        for task, group in zip(model.tasks, by_task, strict=True):
            collected.append(rows.scored_rows(study, group, task, examples[task]["chance"]))
        if seed == study.seeds[0]:
            of_methods = (DENSE, study.runtime.method)
            timed = [s.variant for s in by_task[0] if s.variant.method in of_methods]
            profile = await runner.run(
                calls.profile(model.name, base.weights_sha256, base.checkpoint)
            )
            collected.append(rows.model_rows(model, record))
            collected.append(rows.profile_rows(model.name, base.name, profile))
            leading = (DENSE, study.methods[0])
            shown = [s.variant for s in by_task[0] if s.variant.method in leading]
            shown = [v for v in shown if v != base]  # the base has its own from the profile
            histograms = await runner.run(calls.histograms(model.name, shown))
            collected.append(rows.histogram_rows(shown, histograms))
    return rows.merge(collected), timed


async def _scored_task(
    study: Study, runner: Runner, model: Model, base: Variant, task: str, examples: Record
) -> list[Scored]:
    """The dense model of one task and all its pruned variants, scored; the dense one first."""
    dense = base
    if task not in BUILTIN[model.name].pretrained:
        tuned = await runner.run(calls.fine_tune(study, model, base, task))
        dense = rows.dense_variant(study, model, task, base.seed, tuned)
    pruned = await _all(runner.run(calls.prune(study, dense, method)) for method in study.methods)
    variants = [dense] + [
        rows.pruned_variant(study, dense, method, protocol, record, level)
        for method, record in zip(study.methods, pruned, strict=True)
        for protocol in study.protocols
        for level in record["levels"]
    ]
    return await _all(_scored(study, runner, variant, task, examples) for variant in variants)


async def _scored(
    study: Study, runner: Runner, variant: Variant, task: str, examples: Record
) -> Scored:
    evaluation, sizes = await _all(
        [
            runner.run(calls.evaluate(study, variant, task, examples)),
            runner.run(calls.size(study, variant)),
        ]
    )
    return Scored(variant, sizes, evaluation)


async def _all(work: Iterable[Awaitable[Any]]) -> list[Any]:
    return list(await asyncio.gather(*work))
