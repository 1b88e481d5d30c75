"""The steps of a study, in order, over its grid of models, tasks, methods and levels.

Each model's chain (get it, fine-tune, prune, then store and evaluate every level) runs as soon as
its inputs are there; timings come last and run alone.
"""

from dataclasses import dataclass, field

from analysis import calls, data_calls, model_calls, rows, timing_calls, timings, variants
from analysis.benchmarked import Benchmark, Prunings, all_of, benchmark, fine_tuned
from analysis.data.examples import require_same_labels
from analysis.data_calls import Data
from analysis.errors import RequestError
from analysis.grid import calibration_task
from analysis.memo import Call, Record
from analysis.model_grid import is_tuned
from analysis.rows import Rows
from analysis.runner import Runs
from analysis.sections import Files
from analysis.study import Model, Study
from analysis.variants import Scored, Variant


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
    data = dict(
        zip(study.tasks, await all_of(_data(study, runner, t) for t in study.tasks), strict=True)
    )
    found = await all_of(_model(study, runner, model, data) for model in study.models)
    timed = [
        await _timed(study, runner, model, part.groups)
        for model, part in zip(study.models, found, strict=True)
    ]
    if study.runtime.replica is not None:
        record, _ = await runner.attempt(timing_calls.replica(study))
        timed.append(
            {} if record is None else timings.replica_rows(record, study.bootstrap.confidence)
        )
    described = {task: known.test for task, known in data.items()}
    whole = [rows.task_rows(study, described), rows.failure_rows(study, runner.failures)]
    return rows.merge([*whole, *(one for part in found for one in part.rows), *timed])


async def _data(study: Study, runner: Runs, task: str) -> Data:
    """A task's examples; those of training only if something is learnt or calibrated from them."""
    wanted: list[Call] = [data_calls.test_examples(study, task)]
    training = data_calls.training_examples(study, task)
    wanted += [training] if training is not None else []
    test, *more = await all_of(runner.run(call) for call in wanted)
    if more and "label_words" in test and "label_words" in more[0]:
        require_same_labels(more[0]["label_words"], test["label_words"])
    files = study.data.get(task)
    if more and files is not None and not study.rehearsal:
        _require_apart(task, files, test, more[0])
        found = await runner.run(data_calls.shared_examples(study, task, test, more[0]))
        test = test | {
            "training_revision": more[0].get("revision"),
            "also_trained_on": found["shared"],
        }
    return Data(task, test, more[0] if more else None)


def _require_apart(task: str, files: Files, test: Record, training: Record) -> None:
    """Raise RequestError if a model would be trained on what it is tested on: the same rows, in
    whatever order and files, or parts of one file that have rows in common."""

    def alike(what: str) -> bool:  # a plan knows neither before they are read
        return test.get(what) is not None and test[what] == training.get(what)

    if not alike("content") and (files.parts_are_apart or not alike("revision")):
        return
    raise RequestError(
        f"data.{task}: test and train have the same content, {files.test} and {files.train}; name"
        " other training examples, or say which part is which by `train_part` and `test_part`"
    )


async def _timed(
    study: Study, runner: Runs, model: Model, groups: dict[str, list[Variant]]
) -> Rows:
    """The rows of a model's timings, one after the other, when nothing else is left to do."""
    records = [
        (await runner.attempt(call))[0] for call in timing_calls.timings(study, model, groups)
    ]
    confidence = study.bootstrap.confidence
    return rows.merge(
        timings.runtime_rows(record, confidence) for record in records if record is not None
    )


async def _model(study: Study, runner: Runs, model: Model, data: dict[str, Data]) -> _Found:
    """All that is to be known of a model but its times."""
    collected = _Found()
    training = {task: known for task in model.tasks if (known := data[task].training)}
    for seed in study.seeds:
        record, reason = await runner.attempt(model_calls.base(study, model, seed, training))
        if record is None:
            for task in model.tasks:
                lost = variants.failed_dense(study, model, task, seed, str(reason))
                collected.rows.append(rows.variant_rows([[Scored(lost, {})]]))
            if seed == study.seeds[0]:
                collected.rows.append(rows.missing_model_rows(model))
            continue
        base = variants.base_variant(study, model, seed, record)
        by_task = await _benchmarks(study, runner, model, base, data)
        groups = [found.group for found in by_task]
        if all(group[0].variant.name != base.name for group in groups):
            sizes, _ = await runner.attempt(calls.size(study, base))  # the pretrained one's own
            groups.insert(0, [Scored(base, sizes or {})])
        collected.rows.append(rows.variant_rows(groups))
        for task, found in zip(model.tasks, by_task, strict=True):
            collected.rows.append(
                rows.score_rows(study, found.group, task, data[task].test["chance"])
            )
            collected.rows += found.more
        if seed == study.seeds[0]:
            collected.groups = {
                task: [scored.variant for scored in found.group if scored.variant.reached]
                for task, found in zip(model.tasks, by_task, strict=True)
            }
            collected.rows.append(rows.model_rows(model, record))
            leading = collected.groups[model.tasks[0]]
            collected.rows += await _weights(study, runner, model, base, leading)
    return collected


async def _benchmarks(
    study: Study, runner: Runs, model: Model, base: Variant, data: dict[str, Data]
) -> list[Benchmark]:
    """The model on each of its tasks: fine-tuned for it, or the base checkpoint as it is.

    The base checkpoint is pruned once, calibrated on the first task that it is put to and that has
    training examples; where none has, no method is calibrated.
    """
    as_it_is = [task for task in model.tasks if not is_tuned(model, task)]
    shared = None
    if as_it_is:
        texts = data[calibration_task(study, model) or as_it_is[0]]
        shared = Prunings(study, runner, base, texts)
    return await all_of(
        benchmark(study, runner, model, base, data[task], shared)
        if shared is not None and task in as_it_is
        else fine_tuned(study, runner, model, base, data[task])
        for task in model.tasks
    )


async def _weights(
    study: Study, runner: Runs, model: Model, base: Variant, leading: list[Variant]
) -> list[Rows]:
    """The distributions of a model's weights, and of what pruning leaves of them."""
    call = calls.profile(model.name, base.weights_sha256, base.checkpoint, base.checkpoint)
    profile: Record | None = (await runner.attempt(call))[0]
    listed = [] if profile is None else [rows.profile_rows(model.name, base.name, profile)]
    shown = [v for v in leading if timing_calls.in_one_shot(v, study.methods[0])]
    shown = [v for v in shown if v.name != base.name]  # the base has its own from the profile
    if shown:
        histograms, _ = await runner.attempt(calls.histograms(model.name, shown))
        listed += [] if histograms is None else [rows.histogram_rows(shown, histograms)]
    return listed
