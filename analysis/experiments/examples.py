"""Examples of the tasks: made of the generated language, read from the hub or from files."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis import tasks
from analysis.data.examples import require_same_labels
from analysis.engine.memo import Call, Record
from analysis.engine.runner import Runs, all_of
from analysis.errors import RequestError
from analysis.experiments import amounts
from analysis.experiments.contract import DATA, OTHER_EXAMPLES, SCORES, Step, foreseen_object
from analysis.results import Row, Rows, number
from analysis.scoring.statistics import METRICS
from analysis.study import Study
from analysis.study.sections import Files
from analysis.tasks import Task
from analysis.tasks.protocols import chance_from, protocol
from analysis.tasks.stand_ins import stand_ins

FOLDER_VARIABLE = "SPARSITY_DATA"


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


async def read(study: Study, runner: Runs, task: str) -> Data:
    """A task's examples; those of training only if something is learnt or calibrated from them."""
    wanted: list[Call] = [test_examples(study, task)]
    training = training_examples(study, task)
    wanted += [training] if training is not None else []
    test, *more = await all_of(runner.run(call) for call in wanted)
    if more and "label_words" in test and "label_words" in more[0]:
        require_same_labels(more[0]["label_words"], test["label_words"])
    files = study.data.get(task)
    if more and files is not None and not study.rehearsal:
        _require_apart(task, files, test, more[0])
        found = await runner.run(shared_examples(study, task, test, more[0]))
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


def test_examples(study: Study, task: str) -> Call:
    """The test examples of a task, and its chance and best scores."""
    count = study.examples.get(task)
    if is_generated(study, task):
        return _made("analysis.steps.examples.generated:make_examples", task, count)
    if study.rehearsal:
        return _made("analysis.steps.examples.real:stand_in_test", task, count, _asked(study, task))
    return _read(study, task, "test", "read_test", count)


def training_examples(study: Study, task: str) -> Call | None:
    """The training examples of a real task; None if there are none, they are generated, or
    nothing is learnt from them."""
    if is_generated(study, task) or source(study, task, "train") is None:
        return None
    if not amounts.is_learnt_from(study, task):
        return None
    if study.rehearsal:
        asked = _asked(study, task)
        made = _made(
            "analysis.steps.examples.real:stand_in_training", task, amounts.rehearsed(study), asked
        )
        return replace(made, label=f"{task}: training examples")
    return _read(study, task, "train", "read_training", amounts.training(study, task))


def validation(data: Data, examples: int) -> Call:
    """Examples to decide by, none of them in the test data: generated as those are, or, of a real
    task, drawn from its training examples."""
    return Call(
        "analysis.steps.examples.generated:make_validation",
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
        "analysis.steps.examples.real:count_shared",
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


def data_folder(study: Study) -> Path:
    """Where the files lie that a study names as its data."""
    return Path(os.environ.get(FOLDER_VARIABLE) or study.data_folder).expanduser()


def _of_files(study: Study, files: Files, part: str) -> dict[str, Any] | None:
    path = files.test if part == "test" else files.train
    share = files.test_part if part == "test" else files.train_part
    if path is None:
        return None
    return {
        "kind": "files",
        "path": str(data_folder(study) / path),
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
        f"analysis.steps.examples.real:{function}",
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


def task_rows(study: Study, examples: dict[str, Record]) -> Rows:
    """The rows of tables `tasks` and `published`: a row a metric."""
    listed, scores = [], []
    for name, record in examples.items():
        task = tasks.task(name, record.get("settings"))
        shown = {
            field: record["sample"][0][field] for field in (*task.inputs, task.target) if field
        }
        known = _published(study, name, task)
        scores += known
        for metric in task.metrics:
            described = METRICS[metric]
            first = next((row for row in known if row["metric"] == metric), None)
            listed.append(
                {
                    "task": name,
                    "metric": metric,
                    "higher_is_better": described.higher_is_better,
                    "chance": number(record["chance"][metric]),
                    "best": record["best"].get(metric),
                    "examples": record["examples"],
                    "data_sha256": record["data_sha256"],
                    **_of_data(study, name, record),
                    "published": f"{first['value']:g}" if first else None,
                    "published_source": f"{first['model']}: {first['source']}" if first else None,
                    "metric_title": described.title.replace("per word", f"per {task.unit}"),
                    "unit": described.unit,
                    "log_scale": described.log_scale,
                    "measures": task.measures,
                    "sample": json.dumps(shown, ensure_ascii=False),
                    "protocol": protocol(task, metric),
                    "chance_from": chance_from(task),
                    "training_revision": record.get("training_revision"),
                    "also_trained_on": record.get("also_trained_on"),
                }
            )
    return {"tasks": listed, "published": scores}


def _published(study: Study, name: str, task: Task) -> list[Row]:
    """What the models' publications say of them on this task, in the study's order; nothing where
    the study brings its own files, which no publication knows."""
    if name in study.data:
        return []
    return [
        {
            "model": model.name,
            "task": name,
            "metric": metric,
            "value": found.value,
            "source": found.source,
        }
        for model in study.models
        if name in model.tasks
        for metric, found in task.published.get(model.id or "", {}).items()
    ]


def _of_data(study: Study, name: str, record: Record) -> Row:
    """Where the examples come from, and under what terms."""
    task, files = tasks.task(name), study.data.get(name)
    revision = record.get("revision", task.revision)
    if study.rehearsal and revision == "stand-in":
        source, licence = "stand-ins for a rehearsal", "MIT (generated)"
    elif files is not None:
        source, licence = "files", files.licence
    elif task.hub is not None:
        named = f" ({task.hub.name})" if task.hub.name else ""
        source, licence = f"hub: {task.hub.path}{named}", task.licence
    else:
        source, licence = "generated", task.licence
    return {
        "title": (files.title if files else None) or task.title,
        "split": task.split,
        "revision": revision,
        "licence": licence,
        "source": source,
    }


def _foreseen(call: Call) -> Record:
    task = tasks.task(call.arguments["task_name"])
    return {
        "data": foreseen_object(call),
        "data_sha256": "",
        "examples": call.arguments["count"] or 0,
        "sample": stand_ins(task, 1, 0),
        "chance": dict.fromkeys(task.metrics, 0.5),
        "best": {},
    }


def _foreseen_training(call: Call) -> Record:
    training = foreseen_object(call, "training")
    return {"data": foreseen_object(call), "training": training, "labels": 2}


STEPS = {
    "make_examples": Step(_foreseen),
    "make_validation": Step(_foreseen),
    "read_test": Step(_foreseen),
    "stand_in_test": Step(_foreseen),
    "read_training": Step(_foreseen_training),
    "stand_in_training": Step(_foreseen_training),
    "count_shared": Step(lambda call: {"shared": 0}),
}
