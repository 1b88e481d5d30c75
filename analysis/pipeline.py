"""The steps of a study, in order, over its grid of models, tasks, methods and levels.

Each model's chain (pretrain, fine-tune, prune, then store and evaluate every level) runs as soon as
its inputs are there; timings come last and run alone.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import asdict
from typing import Any

from analysis import pruning, rows, tasks
from analysis.execution.timing import Schedule
from analysis.memo import Call, Record
from analysis.models.catalogue import BUILTIN
from analysis.rows import Rows, Scored, Variant
from analysis.runner import Runner
from analysis.study import Model, Study

_NUMPY = ("numpy", "safetensors")
_TORCH = (*_NUMPY, "torch", "transformers", "tokenizers")
_SCORES = ("evaluate", "scikit-learn", "sacrebleu", "rouge-score")
DENSE = "dense"


async def run_study(study: Study, runner: Runner) -> Rows:
    """The rows of every result table."""
    examples = dict(
        zip(
            study.examples,
            await _all(runner.run(_examples_call(study, task)) for task in study.examples),
            strict=True,
        )
    )
    parts = await _all(_model_rows(study, runner, model, examples) for model in study.models)
    merged = rows.merge([rows.task_rows(examples), *(part for part, _ in parts)])
    for model, (_, timed) in zip(study.models, parts, strict=True):
        if study.runtime.operations:
            record = await runner.run_alone(_latency_call(study, model, timed))
            merged["runtime"] += rows.runtime_rows(timed, record)
    return merged


async def _model_rows(
    study: Study, runner: Runner, model: Model, examples: dict[str, Record]
) -> tuple[Rows, list[Variant]]:
    """A model's rows, and the variants whose latency is to be measured."""
    collected: list[Rows] = []
    timed: list[Variant] = []
    for seed in study.seeds:
        record = await runner.run(_pretrain_call(study, model, seed))
        base = rows.base_variant(study, model, seed, record)
        by_task = await _all(
            _scored_task(study, runner, model, base, task, examples[task]) for task in model.tasks
        )
        if all(group[0].variant != base for group in by_task):  # the pretrained model's own bytes
            sizes = await runner.run(_size_call(study, base))
            collected.append(rows.scored_rows(study, [Scored(base, sizes)], "", {}))
        for task, group in zip(model.tasks, by_task, strict=True):
            collected.append(rows.scored_rows(study, group, task, examples[task]["chance"]))
        if seed == study.seeds[0]:
            of_methods = (DENSE, study.runtime.method)
            timed = [s.variant for s in by_task[0] if s.variant.method in of_methods]
            profile = await runner.run(_profile_call(model, base))
            collected.append(rows.model_rows(model, record))
            collected.append(rows.profile_rows(model, base, profile))
    return rows.merge(collected), timed


async def _scored_task(
    study: Study, runner: Runner, model: Model, base: Variant, task: str, examples: Record
) -> list[Scored]:
    """The dense model of one task and all its pruned variants, scored; the dense one first."""
    dense = base
    if task not in BUILTIN[model.name].pretrained:
        tuned = await runner.run(_fine_tune_call(study, model, base, task))
        dense = rows.dense_variant(study, model, task, base.seed, tuned)
    pruned = await _all(
        runner.run(_prune_call(study, model, dense, method)) for method in study.methods
    )
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
            runner.run(_evaluate_call(study, variant, task, examples)),
            runner.run(_size_call(study, variant)),
        ]
    )
    return Scored(variant, sizes, evaluation)


async def _all(work: Iterable[Awaitable[Any]]) -> list[Any]:
    return list(await asyncio.gather(*work))


def _examples_call(study: Study, task: str) -> Call:
    return Call(
        "analysis.steps.examples:make_examples",
        {"task_name": task, "count": study.examples[task], "seed": 0},
        code=(tasks.module_name(task),),
        libraries=_SCORES,
        label=f"{task}: examples",
    )


def _pretrain_call(study: Study, model: Model, seed: int) -> Call:
    return Call(
        "analysis.steps.checkpoints:pretrain_builtin",
        {
            "name": model.name,
            "family": model.family,
            "seed": seed,
            "threads": study.compute.threads,
        },
        libraries=_TORCH,
        label=f"{model.name}: pretrain",
    )


def _fine_tune_call(study: Study, model: Model, base: Variant, task: str) -> Call:
    return Call(
        "analysis.steps.checkpoints:fine_tune",
        {
            "checkpoint": base.checkpoint,
            "task": task,
            "family": model.family,
            "seed": base.seed,
            "threads": study.compute.threads,
        },
        libraries=_TORCH,
        label=f"{model.name}: fine-tune for {task}",
    )


def _profile_call(model: Model, base: Variant) -> Call:
    return Call(
        "analysis.steps.profiles:profile_weights",
        {"weights_sha256": base.weights_sha256, "family": model.family},
        carried={"checkpoint": base.checkpoint},
        libraries=_NUMPY,
        label=f"{model.name}: profile",
    )


def _prune_call(study: Study, model: Model, dense: Variant, method: str) -> Call:
    return Call(
        "analysis.steps.pruned:prune_checkpoint",
        {
            "weights_sha256": dense.weights_sha256,
            "family": model.family,
            "method": method,
            "sparsities": list(study.sparsities),
        },
        carried={"checkpoint": dense.checkpoint},
        code=(pruning.module_name(method),),
        libraries=_NUMPY,
        label=f"{dense.name}: prune by {method}",
    )


def _evaluate_call(study: Study, variant: Variant, task: str, examples: Record) -> Call:
    return Call(
        "analysis.steps.evaluation:evaluate_variant",
        {
            "checkpoint": variant.checkpoint,
            "masks": variant.masks,
            "task_name": task,
            "data": examples["data"]["object"],
            "batch_size": study.compute.batch_size,
            "threads": study.compute.threads,
            "device": study.compute.device,
        },
        code=(tasks.module_name(task),),
        libraries=(*_TORCH, *_SCORES),
        label=f"{variant.name}: evaluate",
    )


def _size_call(study: Study, variant: Variant) -> Call:
    return Call(
        "analysis.steps.sizes:measure_sizes",
        {
            "weights_sha256": variant.weights_sha256,
            "masks": variant.masks,
            "formats": list(study.formats),
        },
        carried={"checkpoint": variant.checkpoint},
        libraries=(*_NUMPY, "zstandard"),
        label=f"{variant.name}: store",
    )


def _latency_call(study: Study, model: Model, variants: list[Variant]) -> Call:
    runtime = study.runtime
    schedule = {name: getattr(runtime, name) for name in asdict(Schedule())}
    dense, *pruned = variants
    return Call(
        "analysis.steps.latency:measure_latency",
        {
            "checkpoint": dense.checkpoint,
            "masks": {v.name: v.masks for v in pruned},
            "form": tasks.task(model.tasks[0]).form,
            "batches": list(runtime.batches),
            "tokens": runtime.tokens,
            "schedule": schedule,
            "threads": runtime.threads,
            "device": study.compute.device,
            "seed": 0,
        },
        libraries=_TORCH,
        timing=True,
        label=f"{model.name}: latency",
    )
