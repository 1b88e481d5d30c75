"""What goes into the steps that make or read examples; see `calls`."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis import pruning, tasks
from analysis.calls import DATA, OTHER_EXAMPLES, SCORES
from analysis.memo import Call, Record
from analysis.model_grid import is_tuned
from analysis.sections import ALL, Files, Pretraining, Training, Tuning
from analysis.study import Study

FOLDER_VARIABLE = "SPARSITY_DATA"
_REHEARSED = 64  # stand-ins for training examples, if no training takes more at once
_MOST_UNTRAINED = 4096  # training examples that are kept of a task that only calibrates
_FEW_TOKENS = 10  # of a short text


@dataclass(frozen=True)
class Data:
    """A task's examples, read or made.

    training   None where they are of the generated language, made anew for each training
    """

    task: str
    test: Record
    training: Record | None

    @property
    def training_object(self) -> str | None:
        """The object of the training examples, as models are trained on them."""
        return None if self.training is None else str(self.training["training"]["object"])


def test_examples(study: Study, task: str) -> Call:
    """The test examples of a task, and its chance and best scores."""
    count = study.examples.get(task)
    if is_generated(study, task):
        return _made("analysis.steps.examples:make_examples", task, count)
    if study.rehearsal:
        return _made("analysis.steps.data:stand_in_test", task, count, _asked(study, task))
    return _read(study, task, "test", "read_test", count)


def training_examples(study: Study, task: str) -> Call | None:
    """The training examples of a real task; None if there are none, they are generated, or
    nothing is learnt from them."""
    if is_generated(study, task) or source(study, task, "train") is None:
        return None
    if not _is_learnt_from(study, task):
        return None
    if study.rehearsal:
        asked = _asked(study, task)
        made = _made("analysis.steps.data:stand_in_training", task, rehearsed_count(study), asked)
        return replace(made, label=f"{task}: training examples")
    return _read(study, task, "train", "read_training", _training_count(study, task))


def validation(data: Data, examples: int) -> Call:
    """Examples to decide by, none of them in the test data: generated as those are, or, of a real
    task, drawn from its training examples."""
    return Call(
        "analysis.steps.examples:make_validation",
        {
            "task_name": data.task,
            "count": examples,
            "seed": OTHER_EXAMPLES,
            "test": data.test["data"]["object"],
            "training": data.training["data"]["object"] if data.training else None,
            "settings": _of_both(data),
        },
        code=(tasks.module_name(data.task),),
        libraries=SCORES,
        label=f"{data.task}: validation examples",
    )


def shared_examples(study: Study, task: str, test: Record, training: Record) -> Call:
    """How many test examples of a user's own files are among the training examples too."""
    return Call(
        "analysis.steps.data:count_shared",
        {
            "task_name": task,
            "settings": _asked(study, task),
            "test": test["data"]["object"],
            "training": training["data"]["object"],
        },
        code=(tasks.module_name(task),),
        label=f"{task}: test examples among the training's",
    )


def _of_both(data: Data) -> dict[str, Any]:
    """The settings of training examples that are scored: as the test's, but a class has its number
    of training."""
    trained, tested = (part.get("settings", {}) for part in (data.training or {}, data.test))
    return tested | {key: value for key, value in trained.items() if key == "classes"}


def is_generated(study: Study, task: str) -> bool:
    """Whether its examples are of the built-in language."""
    return task not in study.data and tasks.task(task).generate is not None


def source(study: Study, task: str, part: str) -> dict[str, Any] | None:
    """Where the "test" or "train" examples of a real task come from, as `data.reading` takes it;
    None if there are none."""
    files, hub = study.data.get(task), tasks.task(task).hub
    if files is not None:
        return _of_files(study, files, part)
    if hub is None:
        return None
    split = hub.split if part == "test" else hub.train
    if split is None:
        return None
    return hub.source(split)


def _of_files(study: Study, files: Files, part: str) -> dict[str, Any] | None:
    path = files.test if part == "test" else files.train
    share = files.test_part if part == "test" else files.train_part
    if path is None:
        return None
    folder = os.environ.get(FOLDER_VARIABLE) or study.data_folder
    return {
        "kind": "files",
        "path": str(Path(folder).expanduser() / path),
        "format": files.format,
        "columns": dict(files.columns),
        "part": list(share) if share else None,
        "quotes": files.quotes,
        "separator": files.separator,
    }


def _made(
    function: str, task: str, count: int | None, settings: dict[str, Any] | None = None
) -> Call:
    more = {} if settings is None else {"settings": settings}
    return Call(
        function,
        {"task_name": task, "count": count, "seed": 0, **more},
        code=(tasks.module_name(task),),
        libraries=SCORES,
        label=f"{task}: examples",
    )


def _read(study: Study, task: str, part: str, function: str, count: int | None) -> Call:
    from analysis.data.reading import stamp

    where = source(study, task, part)
    assert where is not None  # the study has been validated
    named = {key: value for key, value in where.items() if where["kind"] == "hub" or key != "path"}
    return Call(
        f"analysis.steps.data:{function}",
        {
            "task_name": task,
            "settings": _asked(study, task),
            "count": count,
            "seed": 0,
            "stamp": stamp(where),
            "source": named,
        },
        carried={"path": where["path"]},
        code=(tasks.module_name(task),),
        libraries=(*DATA, *SCORES),
        label=f"{task}: {'examples' if part == 'test' else 'training examples'}",
    )


def _asked(study: Study, task: str) -> dict[str, Any]:
    """The fields of the task that the study's own data name."""
    files = study.data.get(task)
    if files is None:
        return {}
    named = {"unit": files.unit, "languages": files.languages and list(files.languages)}
    return {key: value for key, value in named.items() if value is not None}


def rehearsed_count(study: Study) -> int:
    """How many stand-ins a rehearsal trains on: a whole batch of each of the study's trainings."""
    tunings: list[Tuning | Pretraining] = [study.fine_tuning]
    for model in study.models:
        tunings += [found for found in (model.fine_tuning, model.pretraining) if found]
    trainings: list[Training] = []
    if study.recovery is not None:
        trainings += [study.recovery.training, study.recovery.gradual]
    if study.alternatives is not None:
        trainings.append(study.alternatives.student)
    return max(_REHEARSED, *(found.batch_size for found in (*tunings, *trainings)))


def _is_learnt_from(study: Study, task: str) -> bool:
    """Whether a step calibrates, trains or decides by examples of the task."""
    if any(pruning.kind(method) != "weights" for method in study.methods):
        return True
    sections = (study.recovery, study.sensitivity, study.alternatives)
    if any(section is not None and task in section.tasks for section in sections):
        return True
    return any(
        task in model.tasks and (model.source == "scratch" or is_tuned(model, task))
        for model in study.models
    )


def _calibrating(study: Study, task: str) -> int:
    """How many texts calibration may read: of causal models' so many as fill its windows, should
    they be as short as captions."""
    amount, packed = study.calibration, tasks.training_form(tasks.task(task)) == "causal"
    return amount.examples * amount.tokens // _FEW_TOKENS if packed else amount.examples


def _training_count(study: Study, task: str) -> int | None:
    """How many are needed at most; None is all."""
    wanted: list[int | str] = [_calibrating(study, task)]
    for model in study.models:
        if task in model.tasks and task in (model.fine_tune or ()):
            wanted.append((model.fine_tuning or study.fine_tuning).examples)
        if task in model.tasks and model.source == "scratch":
            wanted.append(ALL)
    if study.recovery is not None and task in study.recovery.tasks:
        wanted += [study.recovery.training.examples, study.recovery.gradual.examples]
    if study.alternatives is not None and task in study.alternatives.tasks:
        wanted.append(study.alternatives.student.examples)
    if ALL in wanted:
        return None
    return max(_MOST_UNTRAINED, *(int(count) for count in wanted))
