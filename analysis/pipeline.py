"""The steps of a study, in order, over its grid of models, tasks, methods and levels.

Each model's chain (pretrain, fine-tune, prune, then store and evaluate every level) runs as soon as
its inputs are there; timings come last and run alone.
"""

from analysis import calls, rows, timing_calls, timings, variants
from analysis.benchmarked import all_of, benchmark
from analysis.memo import Record
from analysis.rows import Rows
from analysis.runner import Runner
from analysis.study import Model, Study
from analysis.variants import Scored, Variant


async def run_study(study: Study, runner: Runner) -> Rows:
    """The rows of every result table."""
    examples = dict(
        zip(
            study.examples,
            await all_of(runner.run(calls.examples(study, task)) for task in study.examples),
            strict=True,
        )
    )
    parts = await all_of(_model_rows(study, runner, model, examples) for model in study.models)
    timed = [
        await _timed(study, runner, model, g)
        for model, (_, g) in zip(study.models, parts, strict=True)
    ]
    if study.runtime.replica is not None:
        timed.append(timings.replica_rows(await runner.run(timing_calls.replica(study))))
    return rows.merge([rows.task_rows(examples), *(part for part, _ in parts), *timed])


async def _timed(
    study: Study, runner: Runner, model: Model, groups: dict[str, list[Variant]]
) -> Rows:
    """The rows of a model's timings, one after the other, when nothing else is left to do."""
    records = [await runner.run(call) for call in timing_calls.timings(study, model, groups)]
    return rows.merge(timings.runtime_rows(record) for record in records)


async def _model_rows(
    study: Study, runner: Runner, model: Model, examples: dict[str, Record]
) -> tuple[Rows, dict[str, list[Variant]]]:
    """A model's rows, and its variants by task, the dense one first in each."""
    collected: list[Rows] = []
    groups: dict[str, list[Variant]] = {}
    for seed in study.seeds:
        record = await runner.run(calls.pretrain(model.name, seed, study.compute.threads))
        base = variants.base_variant(study, model, seed, record)
        by_task = await all_of(
            benchmark(study, runner, model, base, task, examples[task]) for task in model.tasks
        )
        if all(found.group[0].variant != base for found in by_task):  # the pretrained model's own
            sizes = await runner.run(calls.size(study, base))
            collected.append(rows.scored_rows(study, [Scored(base, sizes)], "", {}))
        for task, found in zip(model.tasks, by_task, strict=True):
            collected.append(rows.scored_rows(study, found.group, task, examples[task]["chance"]))
            collected += found.more
        if seed == study.seeds[0]:
            groups = {
                task: [scored.variant for scored in found.group]
                for task, found in zip(model.tasks, by_task, strict=True)
            }
            leading = groups[model.tasks[0]]
            profile = await runner.run(
                calls.profile(model.name, base.weights_sha256, base.checkpoint)
            )
            collected.append(rows.model_rows(model, record))
            collected.append(rows.profile_rows(model.name, base.name, profile))
            shown = [v for v in leading if timing_calls.in_one_shot(v, study.methods[0])]
            shown = [v for v in shown if v != base]  # the base has its own from the profile
            histograms = await runner.run(calls.histograms(model.name, shown))
            collected.append(rows.histogram_rows(shown, histograms))
    return rows.merge(collected), groups
