"""The steps of a study, in order, over its grid of models, tasks, methods and levels.

Each model's chain (pretrain, fine-tune, prune, then store and evaluate every level) runs as soon as
its inputs are there; timings come last and run alone.
"""

from analysis import calls, rows, variants
from analysis.benchmarked import all_of, benchmark
from analysis.memo import Record
from analysis.rows import Rows
from analysis.runner import Runner
from analysis.study import Model, Study
from analysis.variants import Scored, Variant

DENSE = "dense"


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
            leading = [s.variant for s in by_task[0].group]
            timed = [v for v in leading if _in_one_shot(v, study.runtime.method)]
            profile = await runner.run(
                calls.profile(model.name, base.weights_sha256, base.checkpoint)
            )
            collected.append(rows.model_rows(model, record))
            collected.append(rows.profile_rows(model.name, base.name, profile))
            shown = [v for v in leading if _in_one_shot(v, study.methods[0])]
            shown = [v for v in shown if v != base]  # the base has its own from the profile
            histograms = await runner.run(calls.histograms(model.name, shown))
            collected.append(rows.histogram_rows(shown, histograms))
    return rows.merge(collected), timed


def _in_one_shot(variant: Variant, method: str) -> bool:
    """Whether it is the dense model, or pruned by this method and no more."""
    plain = variant.protocol == "one-shot" and "allocation" not in variant.settings
    return variant.method == DENSE or (variant.method == method and plain)
