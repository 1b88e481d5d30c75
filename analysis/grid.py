"""Whether what a study asks for fits together: its methods, levels, tasks and trainings."""

from typing import TYPE_CHECKING

from analysis import pruning, tasks
from analysis.errors import RequestError, unknown
from analysis.models.catalogue import BUILTIN, MAX_TOKENS
from analysis.pruning import patterns
from analysis.pruning.allocation import MOST
from analysis.sections import Model
from analysis.storage.formats import FORMATS

if TYPE_CHECKING:
    from analysis.study import Study


def check(study: "Study") -> None:
    """Raise ValueError, one line that names the key, for the first thing that does not fit."""
    for i, model in enumerate(study.models):
        _check_model(f"models.{i}", model)
        for task in model.tasks:
            if task not in study.examples:
                raise ValueError(f"examples: no number of examples for task {task!r}; add it")
    answered = {task for model in study.models for task in model.tasks}
    for task in study.examples:
        _require("examples", "task", task, tasks.names())
        if task not in answered:
            raise ValueError(f"examples: no model answers task {task!r}; remove it")
    for method in study.methods:
        _require("methods", "method", method, pruning.names())
    _require("runtime.method", "method", study.runtime.method, study.methods)
    _check_methods(study)
    _check_recovery(study)
    _check_sensitivity(study)
    _check_alternatives(study)
    _check_runtime(study)
    _check_patterns(study)
    for name in study.formats:
        _require("formats", "format", name, FORMATS)
    if "dense" not in study.formats:
        raise ValueError("formats: must contain 'dense', which the others are compared with")
    for key in ("methods", "sparsities", "patterns", "protocols", "formats", "seeds"):
        _require_unique(key, getattr(study, key))
    _require_unique("sparsities", [f"{s:g}" for s in study.sparsities])  # as variants are named
    _require_unique("runtime.batches", study.runtime.batches)
    _require_unique("models", [model.name for model in study.models])


def _check_patterns(study: "Study") -> None:
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


def _check_methods(study: "Study") -> None:
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


def _check_recovery(study: "Study") -> None:
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
    _require("recovery.method", "method", recovery.method, study.methods)
    if pruning.kind(recovery.method) not in ("weights", "calibrated") or pruning.takes_patterns(
        recovery.method
    ):
        raise ValueError(f"recovery.method: {recovery.method} leaves no mask at each sparsity")
    _check_tasks("recovery.tasks", study, recovery.tasks)
    _check_levels("recovery.sparsities", study, recovery.sparsities)
    if recovery.unmasked_at is not None:
        _check_levels("recovery.unmasked_at", study, (recovery.unmasked_at,))
    _check_fine_tuned("recovery.tasks", study, recovery.tasks)


def _check_sensitivity(study: "Study") -> None:
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
            _require("sensitivity.allocate", "method", "magnitude-layer", study.methods)
        _require_unique("sensitivity.sparsities", study.sensitivity.sparsities)


def _check_alternatives(study: "Study") -> None:
    wanted = study.alternatives
    if wanted is None:
        return
    _check_tasks("alternatives.tasks", study, wanted.tasks)
    _require_unique("alternatives.kinds", wanted.kinds)
    _require_unique("alternatives.run", wanted.run)
    for run in wanted.run:
        if run > wanted.experts:
            raise ValueError(
                f"alternatives.run: {run} of {wanted.experts} experts; run that many at most"
            )
    _check_fine_tuned("alternatives.tasks", study, wanted.tasks)


def _check_runtime(study: "Study") -> None:
    runtime = study.runtime
    _require_unique("runtime.operations", runtime.operations)
    if runtime.task is not None:
        _require("runtime.task", "task", runtime.task, study.examples)
    if ("train_step" in runtime.operations) != (runtime.masked_at is not None):
        raise ValueError(
            "runtime.masked_at: name it if train_step is among the operations, and only then"
        )
    if runtime.masked_at is not None:
        _check_levels("runtime.masked_at", study, (runtime.masked_at,))
    if "generate" in runtime.operations and not any(
        tasks.task(task).form != "classification" for task in study.examples
    ):
        raise ValueError("runtime.operations: no task of the study writes; leave out generate")
    length = runtime.tokens + runtime.new_tokens
    if "generate" in runtime.operations and length > MAX_TOKENS:
        raise ValueError(
            f"runtime.new_tokens: {runtime.new_tokens} after {runtime.tokens} are {length} tokens,"
            f" and models take {MAX_TOKENS}; ask for fewer"
        )


def _check_fine_tuned(where: str, study: "Study", tasks: tuple[str, ...]) -> None:
    """Training goes on from a model that was fine-tuned for the task."""
    for model in study.models:
        for task in set(model.tasks) & set(tasks) & set(BUILTIN[model.name].pretrained):
            raise ValueError(
                f"{where}: {model.name} is not fine-tuned for {task}; name another task"
            )


def _check_tasks(where: str, study: "Study", tasks: tuple[str, ...]) -> None:
    _require_unique(where, tasks)
    for task in tasks:
        _require(where, "task", task, study.examples)


def _check_levels(where: str, study: "Study", levels: tuple[float, ...]) -> None:
    _require_unique(where, levels)
    for level in levels:
        if level not in study.sparsities:
            raise ValueError(f"{where}: {level:g} is not among the study's sparsities; add it")


def _check_model(where: str, model: Model) -> None:
    _require(f"{where}.name", "built-in model", model.name, BUILTIN)
    known = BUILTIN[model.name]
    if model.family != known.family:
        raise ValueError(f"{where}.family: {model.name} is {known.family}, not {model.family}")
    _require_unique(f"{where}.tasks", model.tasks)
    for task in model.tasks:
        _require(f"{where}.tasks", "task", task, tasks.names())
        if task not in known.tasks:
            raise ValueError(
                f"{where}.tasks: {model.name} is not made for task {task!r}."
                f" Allowed: {', '.join(known.tasks)}."
            )


def _require(where: str, what: str, given: str, allowed: object) -> None:
    if given not in allowed:  # type: ignore[operator]
        raise ValueError(f"{where}: {unknown(what, given, allowed)}")  # type: ignore[arg-type]


def _require_unique(where: str, values: object) -> None:
    listed = list(values)  # type: ignore[call-overload]
    for value in listed:
        if listed.count(value) > 1:
            raise ValueError(f"{where}: {value!r} stands twice; name it once")
