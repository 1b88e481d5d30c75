"""Whether what a study says of one model fits together: its source, its tasks, its trainings."""

import re
from pathlib import Path

from analysis import tasks
from analysis.checkpoints.config import no_model
from analysis.errors import unknown
from analysis.hub.names import why_no_name
from analysis.models.catalogue import BUILTIN, MAX_TOKENS
from analysis.study.sections import Model, Shape

# the keys that only one source takes, and whether it needs them
_KEYS = {
    "hub": {"id": True, "revision": False, "remote_code": False},
    "local": {"path": True},
    "scratch": {"shape": False, "pretraining": False},
    "builtin": {},
}
_FORMS = {
    "encoder-only": ("classification", "masked"),
    "decoder-only": ("classification", "causal", "cloze"),
    "encoder-decoder": ("classification", "text-to-text"),
}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_AS_PRETRAINED = ("causal", "cloze", "masked")


def check_model(where: str, model: Model) -> None:
    """Raise ValueError, one line that names the key, for the first thing that does not fit."""
    _check_source(where, model)
    require_unique(f"{where}.tasks", model.tasks)
    for task in model.tasks:
        require(f"{where}.tasks", "task", task, tasks.names())
        form = tasks.task(task).form
        if form not in _FORMS[model.family]:
            raise ValueError(
                f"{where}.tasks: {task} is answered as {form}, and {model.name} is"
                f" {model.family}: allowed are tasks of the forms"
                f" {', '.join(_FORMS[model.family])}"
            )
    for task in model.fine_tune or ():
        require(f"{where}.fine_tune", "task", task, model.tasks)
        if tasks.task(task).form in ("cloze", "masked"):
            raise ValueError(
                f"{where}.fine_tune: {task} asks the checkpoint as it is; leave it out"
            )


def _check_source(where: str, model: Model) -> None:
    for source, keys in _KEYS.items():
        for key, needed in keys.items():
            given = key in model.model_fields_set
            if given and source != model.source:
                raise ValueError(
                    f"{where}.{key}: is for a model with `source: {source}`, and {model.name} has"
                    f" `source: {model.source}`; change one of them"
                )
            if needed and not given and source == model.source:
                raise ValueError(f"{where}.{key}: is missing; `source: {source}` needs it")
    if model.id is not None and (why := why_no_name(model.id, "model")):
        raise ValueError(f"{where}.id: {why}")
    if model.source == "builtin":
        _check_builtin(where, model)
    folder = Path(str(model.path)).expanduser()
    if model.source == "local" and not (folder / "config.json").exists():
        why = no_model(folder) if folder.is_dir() else None
        missing = f"{model.path} is no folder of a saved model, with a config.json in it"
        raise ValueError(f"{where}.path: {why or missing}")
    if model.remote_code and not _COMMIT.fullmatch(model.revision):
        raise ValueError(
            f"{where}.remote_code: code from a repository runs at a pinned revision only; give the"
            " commit, 40 digits, as `revision`"
        )
    shape = model.shape or Shape()
    if shape.width % shape.heads:
        raise ValueError(
            f"{where}.shape: width {shape.width} is no multiple of {shape.heads} heads"
        )


def _check_builtin(where: str, model: Model) -> None:
    require(f"{where}.name", "built-in model", model.name, BUILTIN)
    known = BUILTIN[model.name]
    if model.family != known.family:
        raise ValueError(f"{where}.family: {model.name} is {known.family}, not {model.family}")
    for key in ("fine_tune", "fine_tuning"):
        if getattr(model, key) is not None:
            raise ValueError(f"{where}.{key}: built-in models train by themselves; leave it")
    for task in model.tasks:
        require(f"{where}.tasks", "task", task, tasks.names())
        if task not in known.tasks:
            raise ValueError(
                f"{where}.tasks: {model.name} is not made for task {task!r}."
                f" Allowed: {', '.join(known.tasks)}."
            )


def is_tuned(model: Model, task: str) -> bool:
    """Whether the task is answered by a copy that was fine-tuned for it."""
    if model.source == "builtin":
        return task not in BUILTIN[model.name].pretrained
    if model.fine_tune is not None:
        return task in model.fine_tune
    return model.source == "scratch" and tasks.task(task).form not in _AS_PRETRAINED


def most_tokens(model: Model) -> int | None:
    """The positions of the model where the study knows them."""
    if model.source == "builtin":
        return MAX_TOKENS
    return (model.shape or Shape()).positions if model.source == "scratch" else None


def require(where: str, what: str, given: str, allowed: object) -> None:
    if given not in allowed:  # type: ignore[operator]
        raise ValueError(f"{where}: {unknown(what, given, allowed)}")  # type: ignore[arg-type]


def require_unique(where: str, values: object) -> None:
    seen: set[object] = set()
    for value in values:  # type: ignore[attr-defined]
        if value in seen:
            raise ValueError(f"{where}: {value!r} stands twice; name it once")
        seen.add(value)
