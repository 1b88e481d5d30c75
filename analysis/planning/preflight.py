"""What a study needs and cannot be had, found before the first step and said all at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from analysis import tasks
from analysis.checkpoints import naming
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.config import config_of
from analysis.checkpoints.outside import no_blocks
from analysis.engine.display import Display
from analysis.engine.memo import Memo
from analysis.errors import RequestError
from analysis.experiments import checkpoints, examples
from analysis.experiments.examples import source
from analysis.models.heads import require_classes
from analysis.study import Model, Study
from analysis.study.model_fits import is_tuned
from analysis.tasks import Task


def require_all(study: Study, memo: Memo, shown: Display) -> None:
    """See that every model and data set is remembered, at hand or to be downloaded.

    Raises RequestError if any is not, once all of them have been listed with what would help.
    """
    if lacking := missing(study, memo):
        raise refused(lacking, shown.say)


def refused(lacking: Sequence[str], say: Callable[[str], object]) -> RequestError:
    """The error of a study that lacks these: the one line, or their number once all are said."""
    if len(lacking) == 1:
        return RequestError(lacking[0])
    for line in lacking:
        say(f"missing: {line}")
    return RequestError(f"{len(lacking)} things are missing, listed above: mend them, try again")


def missing(study: Study, memo: Memo) -> list[str]:
    """One line for each thing that cannot be had: what is wrong, and what fetches it."""
    if study.rehearsal:
        return []
    found: list[str | None] = [*_missing_data(study, memo)]
    for model in study.models:
        if model.source == "hub" and memo.lookup(checkpoints.base(study, model, 0, {})) is None:
            from analysis.checkpoints.published import missing_model

            found.append(missing_model(str(model.id), model.revision))
        if model.source == "local":
            found.append(_without_blocks(study, model))
        found += _without_head(study, model, memo)
    return list(dict.fromkeys(line for line in found if line))


def _without_blocks(study: Study, model: Model) -> str | None:
    """The line on a saved model of which the study's methods know nothing to prune."""
    folder = Path(str(model.path)).expanduser()
    if (
        study.include
        or set(study.methods) <= {"magnitude-all"}
        or not any(folder.glob("*.safetensors"))
    ):
        return None  # what is pickled is opened by torch, and not before a run
    shapes = {name: tensor.shape for name, tensor in open_checkpoint(folder).tensors.items()}
    if any(what.prunable for what in naming.weights(shapes).values()):
        return None
    return f"{model.name}: {no_blocks(config_of(folder), shapes)} (in a study: `include`)"


def _without_head(study: Study, model: Model, memo: Memo) -> Iterator[str]:
    """A line for each classification that a saved model answers as it is, without a head for its
    classes; of a model of the hub once it is there."""
    answered = [task for task in model.tasks if not is_tuned(model, task)]
    for task in answered:
        if tasks.task(task).form == "classification" and (folder := _folder(study, model, memo)):
            try:
                described = _described(study, task, memo)
                names = open_checkpoint(folder).tensors
                require_classes(
                    config_of(folder),
                    names,
                    described.classes,
                    closed=described.knows_all_classes,
                )
            except RequestError as error:
                yield f"{model.name} on {task}: {error}"


def _folder(study: Study, model: Model, memo: Memo) -> Path | None:
    """Where a saved model lies whose weights can be looked at without torch."""
    if model.source == "local":
        folder = Path(str(model.path)).expanduser()
        return folder if any(folder.glob("*.safetensors")) else None
    base = memo.lookup(checkpoints.base(study, model, 0, {})) if model.source == "hub" else None
    return memo.objects.path(base.record["checkpoint"]["object"]) if base else None


def _described(study: Study, task: str, memo: Memo) -> Task:
    """The task with the classes of its test data, as far as they are known or in a file."""
    known, where = tasks.task(task), source(study, task, "test")
    if known.classes or where is None:
        return known
    remembered = memo.lookup(examples.test_examples(study, task))
    if remembered is not None:
        return tasks.task(task, remembered.record["settings"])
    if where["kind"] == "hub" or not Path(where["path"]).is_file():
        return known
    from analysis.data.examples import classes_of
    from analysis.data.reading import read

    table = read(where, (str(known.target),))
    classes = classes_of(known, [row[str(known.target)] for row in table.rows], table.places)
    return replace(known, classes=classes)


def _missing_data(study: Study, memo: Memo) -> Iterator[str | None]:
    """The lines on data; files are looked for even where their content is remembered."""
    from analysis.data.hub import missing_split
    from analysis.planning.missing import missing_files

    files: list[tuple[Path, str | None]] = []
    for task in study.tasks:
        for part in ("test", "train"):
            where = None if examples.is_generated(study, task) else source(study, task, part)
            if where is None:
                continue
            if where["kind"] == "files":
                files.append((Path(where["path"]), where["format"]))
            elif not _is_remembered(study, memo, task, part):
                yield missing_split(where)
    yield from missing_files(examples.data_folder(study), files)


def _is_remembered(study: Study, memo: Memo, task: str, part: str) -> bool:
    """Whether a task's examples of the hub have been read; so has what is never asked for."""
    make = examples.test_examples if part == "test" else examples.training_examples
    call = make(study, task)
    return call is None or memo.lookup(call) is not None
