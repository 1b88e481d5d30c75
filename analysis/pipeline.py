"""The steps of a study, in order, over its grid of models, tasks, methods and levels.

Each model's chain (get it, fine-tune, prune, then store and evaluate every level) runs as soon as
its inputs are there; timings come last and run alone.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from analysis import tasks
from analysis.engine.runner import Runs, all_of
from analysis.experiments import catalogue, checkpoints, examples, profile, quality, sizes, timing
from analysis.experiments.examples import Data
from analysis.experiments.pruning import Prunings
from analysis.experiments.variant import (
    Scored,
    Variant,
    base_variant,
    dense_variant,
    failed_dense,
    variant_row,
)
from analysis.experiments.work import Work
from analysis.results import Row, Rows, failure_rows, merge
from analysis.study import Study
from analysis.study.fits import calibration_task
from analysis.study.model_fits import is_tuned
from analysis.study.sections import Model

Levels = Callable[[str], Awaitable[list[Variant]]]


@dataclass(frozen=True)
class Benchmark:
    """A model on a task.

    group   the dense model first, then its variants in the study's order
    more    rows of further tables
    """

    group: list[Scored]
    more: list[Rows] = field(default_factory=list)


@dataclass
class _Found:
    """What came of a model: rows, and its variants by task, the dense one first in each."""

    rows: list[Rows] = field(default_factory=list)
    groups: dict[str, list[Variant]] = field(default_factory=dict)


async def run_study(study: Study, runner: Runs) -> Rows:
    """The rows of every result table.

    A step that fails is a row that says so, and costs what hangs on it alone; without a task's
    examples, or a machine that works, there is no study: then that error is raised.
    """
    read = await all_of(examples.read(study, runner, task) for task in study.tasks)
    data = dict(zip(study.tasks, read, strict=True))
    found = await all_of(_model(study, runner, model, data) for model in study.models)
    timed = [
        await timing.time_rows(study, runner, model, part.groups)
        for model, part in zip(study.models, found, strict=True)
    ]
    timed.append(await timing.true_size_rows(study, runner))
    described = {task: known.test for task, known in data.items()}
    models = [model.name for model in study.models]
    return merge(
        [
            examples.task_rows(study, described),
            failure_rows(runner.failures, models, tasks.names()),
            *(one for part in found for one in part.rows),
            *timed,
        ]
    )


async def _model(study: Study, runner: Runs, model: Model, data: dict[str, Data]) -> _Found:
    """All that is to be known of a model but its times."""
    collected = _Found()
    training = {task: known for task in model.tasks if (known := data[task].training)}
    for seed in study.seeds:
        leads = seed == study.seeds[0]
        record, reason = await runner.attempt(checkpoints.base(study, model, seed, training))
        if record is None:
            lost = [failed_dense(study, model, task, seed, str(reason)) for task in model.tasks]
            collected.rows += [variant_rows([[Scored(variant, {})]]) for variant in lost]
            collected.rows += [checkpoints.missing_model_rows(model)] if leads else []
            continue
        base = base_variant(study, model, seed, record)
        by_task = await _benchmarks(study, runner, model, base, data)
        groups = [found.group for found in by_task]
        if all(group[0].variant.name != base.name for group in groups):
            stored, _ = await runner.attempt(sizes.size(study, base))  # the pretrained one's own
            groups.insert(0, [Scored(base, stored or {})])
        collected.rows.append(variant_rows(groups))
        for task, found in zip(model.tasks, by_task, strict=True):
            chance = data[task].test["chance"]
            collected.rows += [quality.score_rows(study, found.group, task, chance), *found.more]
        if leads:
            collected.groups = {
                task: [scored.variant for scored in found.group if scored.variant.reached]
                for task, found in zip(model.tasks, by_task, strict=True)
            }
            collected.rows.append(checkpoints.model_rows(model, record))
            leading = collected.groups[model.tasks[0]]
            collected.rows += await profile.weight_rows(study, runner, model, base, leading)
    return collected


async def _benchmarks(
    study: Study, runner: Runs, model: Model, base: Variant, data: dict[str, Data]
) -> list[Benchmark]:
    """The model on each of its tasks: fine-tuned for it, or the base checkpoint as it is.

    The base checkpoint is pruned once, calibrated on the first task that it is put to and that has
    training examples; where none has, no method is calibrated.
    """
    as_it_is = [task for task in model.tasks if not is_tuned(model, task)]
    shared: Levels | None = None
    if as_it_is:
        texts = data[calibration_task(study, model) or as_it_is[0]]
        shared = Prunings(study, runner, base, texts).levels
    return await all_of(
        _benchmark(Work(study, runner, model, base, data[task], shared))
        if shared is not None and task in as_it_is
        else _fine_tuned(study, runner, model, base, data[task])
        for task in model.tasks
    )


async def _fine_tuned(
    study: Study, runner: Runs, model: Model, base: Variant, data: Data
) -> Benchmark:
    """A copy of the model fine-tuned for the task, and all variants of that.

    Where it cannot be had there is nothing to compare with, and it stands alone, as failed.
    """
    call = checkpoints.fine_tune(study, model, base, data.task, data.training)
    tuned, reason = await runner.attempt(call)
    if tuned is None:
        lost = failed_dense(study, model, data.task, base.seed, str(reason))
        return Benchmark([Scored(lost, {})])
    dense = dense_variant(study, model, data.task, base.seed, tuned)
    levels = Prunings(study, runner, dense, data).levels
    return await _benchmark(Work(study, runner, model, dense, data, levels))


async def _benchmark(work: Work) -> Benchmark:
    """The dense model and all its variants on a task.

    What fails is a variant with that status, and nothing else is lost by it.
    """
    parts = [part for experiment in catalogue.of_variants() for part in experiment.parts(work)]
    *found, dense = await all_of([*parts, work.scored(work.dense)])
    return Benchmark(
        [dense, *(variant for group, _ in found for variant in group)],
        [more for _, listed in found for more in listed],
    )


def variant_rows(groups: Iterable[Sequence[Scored]]) -> Rows:
    """The rows of tables `variants` and `size`, the first of each group being the dense model.

    A variant that is put to several tasks is one variant; if one of them failed, it says so.
    """
    listed: dict[str, Row] = {}
    stored: dict[str, list[Row]] = {}
    for group in groups:
        for scored in group:
            name = scored.variant.name
            if name not in listed or not scored.variant.reached:
                listed[name] = variant_row(scored.variant)
            if scored.sizes:
                stored[name] = sizes.size_rows(scored.variant, scored.sizes, group[0].sizes)
    return {
        "variants": list(listed.values()),
        "size": [row for some in stored.values() for row in some],
    }
