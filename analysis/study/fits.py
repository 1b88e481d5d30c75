"""Whether what a study asks for fits together: its methods, levels, tasks and trainings."""

from collections.abc import Sequence
from os.path import normpath

from analysis import pruning, tasks
from analysis.errors import RequestError
from analysis.pruning import patterns
from analysis.pruning.allocation.sensitivity import MOST
from analysis.storage.formats import FORMATS
from analysis.study.model_fits import (
    check_model,
    is_tuned,
    most_tokens,
    require,
    require_unique,
)
from analysis.study.sections import ALL, Files, Keys, Model, Recovery, Training


def check(study: Keys) -> None:
    """Raise ValueError, one line that names the key, for the first thing that does not fit."""
    for i, model in enumerate(study.models):
        check_model(f"models.{i}", model)
    _check_data(study)
    _check_generation(study)
    for method in study.methods:
        require("methods", "method", method, pruning.names())
    require("runtime.method", "method", study.runtime.method, study.methods)
    _check_methods(study)
    for model in study.models:
        _check_calibration(study, model)
    _check_recovery(study)
    _check_sensitivity(study)
    _check_alternatives(study)
    _check_runtime(study)
    _check_patterns(study)
    for name in study.formats:
        require("formats", "format", name, FORMATS)
    if "dense" not in study.formats:
        raise ValueError("formats: must contain 'dense', which the others are compared with")
    for key in ("methods", "sparsities", "patterns", "protocols", "formats", "seeds"):
        require_unique(key, getattr(study, key))
    require_unique("sparsities", [f"{s:g}" for s in study.sparsities])  # as variants are named
    require_unique("runtime.batches", study.runtime.batches)
    require_unique("models", [model.name for model in study.models])


def _check_data(study: Keys) -> None:
    """Each task has examples to answer, and to learn from where something is learnt."""
    for where in ("examples", "data"):
        for task in getattr(study, where):
            require(where, "task", task, tasks.names())
            if task not in study.tasks and where == "examples":
                raise ValueError(f"examples: no model answers task {task!r}; remove it")
    for task in study.tasks:
        described, files = tasks.task(task), study.data.get(task)
        if files is None and described.generate is not None:
            if task not in study.examples:
                raise ValueError(f"examples: no number of examples for task {task!r}; add it")
        elif files is None and described.hub is None:
            raise ValueError(
                f"data: task {task!r} has no data set of its own; name its files, such as"
                f" `{task}: {{train: train.jsonl, test: test.jsonl}}`"
            )
        for model in study.models:
            if task in model.tasks:
                lacks = _learns(model, task) and not _has_training(described, files)
                recovered = study.recovery is not None and task in study.recovery.tasks
                if lacks or (recovered and not _has_texts(study, task)):
                    raise ValueError(
                        f"data.{task}.train: is missing; {model.name} learns from it, so name a"
                        " file of training examples"
                    )
        if files is not None:
            _check_files(f"data.{task}", described, files)


def _check_generation(study: Keys) -> None:
    for task, given in study.generation.items():
        where = f"generation.{task}"
        require("generation", "task", task, study.tasks)
        if tasks.task(task).form != "text-to-text":
            raise ValueError(f"{where}: is how a model writes, and this task asks for no text")
        least, most = given.min_new_tokens, given.max_new_tokens
        if least is not None and most is not None and least > most:
            raise ValueError(f"{where}: min_new_tokens {least} is more than max_new_tokens {most}")


def calibration_task(study: Keys, model: Model) -> str | None:
    """The task on whose training examples the base checkpoint is calibrated: the first that it is
    put to as it is and that has any; None if there is none."""
    return next((task for task in _as_it_is(model) if _has_texts(study, task)), None)


def _as_it_is(model: Model) -> list[str]:
    return [task for task in model.tasks if not is_tuned(model, task)]


def _has_texts(study: Keys, task: str) -> bool:
    described, files = tasks.task(task), study.data.get(task)
    return _has_training(described, files) or (files is None and described.train is not None)


def _check_calibration(study: Keys, model: Model) -> None:
    calibrated = [m for m in study.methods if pruning.kind(m) in ("calibrated", "structured")]
    untuned = _as_it_is(model)
    if calibrated and untuned and calibration_task(study, model) is None:
        raise ValueError(
            f"data.{untuned[0]}.train: is missing; {calibrated[0]} calibrates {model.name} on it,"
            " so name a file of training examples, or put the model to a task that has some"
        )


def _has_training(described: tasks.Task, files: Files | None) -> bool:
    """Whether there are training examples to read; those of the language built-in models make."""
    if files is not None:
        return files.train is not None
    return described.hub is not None and described.hub.train is not None


def _learns(model: Model, task: str) -> bool:
    """Whether the model needs training examples that are read."""
    return model.source == "scratch" or (model.source != "builtin" and is_tuned(model, task))


def _check_files(where: str, described: tasks.Task, files: Files) -> None:
    for field in files.columns:
        require(f"{where}.columns", "field", field, described.row_fields)
    if files.unit is not None and described.form not in ("causal", "masked"):
        raise ValueError(f"{where}.unit: is what a perplexity is per, and this task has none")
    if files.languages is not None and described.languages is None:
        raise ValueError(f"{where}.languages: are those of a translation, and this task is none")
    for part in ("test_part", "train_part"):
        share = getattr(files, part)
        if share is not None and not share[0] < share[1]:
            raise ValueError(
                f"{where}.{part}: {list(share)} is no share; write the beginning and the end, such"
                " as [0.8, 1.0]"
            )
    same = files.train is not None and normpath(files.test) == normpath(files.train)
    if same and (files.test_part is None or files.train_part is None):
        raise ValueError(
            f"{where}: test and train are one file; say which part of it is which, such as"
            " `train_part: [0.0, 0.8]` and `test_part: [0.8, 1.0]`"
        )
    if same and not files.parts_are_apart:
        raise ValueError(f"{where}: test_part and train_part overlap; keep them apart")


def _check_patterns(study: Keys) -> None:
    """A pattern is shown beside what is as sparse."""
    used = any(pruning.takes_patterns(method) for method in study.methods)
    for text in study.patterns:
        try:
            sparsity = patterns.parse(text).sparsity
        except RequestError as error:
            raise ValueError(f"patterns: {error}") from error
        if used and sparsity not in study.sparsities:
            raise ValueError(
                f"patterns: {text} removes {sparsity!r}, which is not among the study's sparsities;"
                " add it"
            )


def _check_methods(study: Keys) -> None:
    """What leads and what is timed is pruned at every level, in one shot, by masks."""
    for where, method in (("methods", study.methods[0]), ("runtime.method", study.runtime.method)):
        plain = pruning.kind(method) in ("weights", "calibrated")
        if not plain or pruning.takes_patterns(method):
            raise ValueError(
                f"{where}: {method} cannot lead, as it does not reach every sparsity by a mask;"
                " name one such as magnitude first"
            )
    if (study.include or study.exclude) and (
        left := [m for m in study.methods if pruning.kind(m) in ("structured", "trained")]
    ):
        raise ValueError(
            f"include, exclude: {left[0]} has a scope of its own; leave it out of methods, or these"
        )


def _check_recovery(study: Keys) -> None:
    trained = [m for m in study.methods if pruning.kind(m) == "trained"]
    wanted = [p for p in study.protocols if p != "one-shot"]
    if "one-shot" not in study.protocols:
        raise ValueError("protocols: must contain 'one-shot', from which the others start")
    if study.recovery is None:
        if trained or wanted:
            raise ValueError(
                f"recovery: is missing; {(trained + wanted)[0]} trains, so say on which tasks"
            )
        return
    if not trained and not wanted:
        raise ValueError(
            "recovery: trains nothing; add fine-tuned to protocols or gradual to methods"
        )
    recovery = study.recovery
    require("recovery.method", "method", recovery.method, study.methods)
    if pruning.kind(recovery.method) not in ("weights", "calibrated") or pruning.takes_patterns(
        recovery.method
    ):
        raise ValueError(f"recovery.method: {recovery.method} leaves no mask at each sparsity")
    _check_tasks("recovery.tasks", study, recovery.tasks)
    _check_levels("recovery.sparsities", study, recovery.sparsities)
    if recovery.unmasked_at is not None:
        _check_levels("recovery.unmasked_at", study, (recovery.unmasked_at,))
    for where, how in _trainings(recovery, trained, wanted).items():
        for task in recovery.tasks:
            if how.examples == ALL and not _is_read(study, task):
                raise ValueError(
                    f"{where}.examples: all, and there is no end of the examples of {task}, which"
                    " are generated; give a number"
                )


def _trainings(
    recovery: Recovery, trained: Sequence[str], wanted: Sequence[str]
) -> dict[str, Training]:
    """The trainings of a recovery that are asked for, by their key."""
    found = {"recovery.training": recovery.training} if wanted else {}
    return found | ({"recovery.gradual": recovery.gradual} if trained else {})


def _is_read(study: Keys, task: str) -> bool:
    """Whether its examples are read of files or the hub, and not generated."""
    return task in study.data or tasks.task(task).generate is None


def _check_sensitivity(study: Keys) -> None:
    if study.sensitivity is not None:
        _check_tasks("sensitivity.tasks", study, study.sensitivity.tasks)
        _check_levels("sensitivity.allocate", study, study.sensitivity.allocate)
        for where in ("sparsities", "allocate"):
            if any(level >= MOST for level in getattr(study.sensitivity, where)):
                raise ValueError(
                    f"sensitivity.{where}: below {MOST:g}; from there on a layer would be emptied"
                )
        if study.include or study.exclude:
            raise ValueError(
                "sensitivity: prunes all layers' matrices, so include and exclude cannot be kept;"
                " leave it out, or these"
            )
        if study.sensitivity.allocate:
            require("sensitivity.allocate", "method", "magnitude-layer", study.methods)
        require_unique("sensitivity.sparsities", study.sensitivity.sparsities)


def _check_alternatives(study: Keys) -> None:
    wanted = study.alternatives
    if wanted is None:
        return
    _check_tasks("alternatives.tasks", study, wanted.tasks)
    require_unique("alternatives.kinds", wanted.kinds)
    require_unique("alternatives.run", wanted.run)
    for run in wanted.run:
        if run > wanted.experts:
            raise ValueError(
                f"alternatives.run: {run} of {wanted.experts} experts; run that many at most"
            )
    _check_fine_tuned("alternatives.tasks", study, wanted.tasks)


def _check_runtime(study: Keys) -> None:
    runtime = study.runtime
    require_unique("runtime.operations", runtime.operations)
    if runtime.task is not None:
        require("runtime.task", "task", runtime.task, study.tasks)
    if ("train_step" in runtime.operations) != (runtime.masked_at is not None):
        raise ValueError(
            "runtime.masked_at: name it if train_step is among the operations, and only then"
        )
    if runtime.masked_at is not None:
        _check_levels("runtime.masked_at", study, (runtime.masked_at,))
    if "generate" in runtime.operations and not any(
        tasks.task(task).form in tasks.WRITES for task in study.tasks
    ):
        raise ValueError("runtime.operations: no task of the study writes; leave out generate")
    for model in study.models:
        most, asked = most_tokens(model), runtime.tokens
        if most is not None and asked > most:
            raise ValueError(f"runtime.tokens: {asked}, and {model.name} takes {most} at most")
        if most is not None and "generate" in runtime.operations:
            asked += runtime.new_tokens
            if asked > most:
                raise ValueError(
                    f"runtime.new_tokens: {runtime.new_tokens} after {runtime.tokens} are {asked}"
                    f" tokens, and {model.name} takes {most}; ask for fewer"
                )


def _check_fine_tuned(where: str, study: Keys, tasks: tuple[str, ...]) -> None:
    """Training goes on from a model that was fine-tuned for the task."""
    for model in study.models:
        for task in set(model.tasks) & set(tasks):
            if not is_tuned(model, task):
                raise ValueError(
                    f"{where}: {model.name} is not fine-tuned for {task}; name another task"
                )


def _check_tasks(where: str, study: Keys, tasks: tuple[str, ...]) -> None:
    require_unique(where, tasks)
    for task in tasks:
        require(where, "task", task, study.tasks)


def _check_levels(where: str, study: Keys, levels: tuple[float, ...]) -> None:
    require_unique(where, levels)
    for level in levels:
        if level not in study.sparsities:
            raise ValueError(f"{where}: {level:g} is not among the study's sparsities; add it")
