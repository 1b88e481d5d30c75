"""Puts one model to one benchmark: a JSON object on stdout, progress on stderr."""

import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from analysis import tasks
from analysis.commands.locate import require_no_revision
from analysis.engine import files, processes, progress, project
from analysis.engine.display import Display, display
from analysis.engine.memo import Memo, Record
from analysis.errors import RequestError
from analysis.experiments import checkpoints, placement, quality
from analysis.experiments import examples as task_examples
from analysis.experiments.examples import Data
from analysis.experiments.variant import base_variant, dense_variant
from analysis.models.alternative import read_alternative
from analysis.models.catalogue import BUILTIN
from analysis.models.family import described, folder_of
from analysis.study import Study
from analysis.study.model_fits import is_tuned
from analysis.study.sections import Compute, Files, Model
from analysis.tasks import Task
from analysis.tasks.protocols import chance_from, protocol

_NO_NUMBER = (
    "the model gives the texts no probability above 0, or computes with numbers that are none or"
    " too large"
)
_OPTIONS = ("unit", "languages", "format", "quotes", "separator")  # of a file
_GENERATED = 512  # examples of a task that are made, if nobody says how many


def evaluate(
    model: str,
    revision: str | None,
    task: str,
    data: Path | None = None,
    examples: int | None = None,
    device: str = "auto",
    named: dict[str, Any] | None = None,
) -> None:
    """Print the model's scores on the task's test examples, or on those in the file `data`.

    device  one of placement.DEVICES; a model that an alternative left in eight bits has the CPU's
    named   what of _OPTIONS is said of the file, as a study's `data` has it

    A built-in model is fine-tuned for the task first, if that is what it is made for; any other is
    asked as it comes.

    Raises RequestError if there is no such model, task or file, or they do not fit each other.
    """
    placement.require_device(device, f"--device {device}")
    of_data = _files(task, data, named or {})
    compute = Compute.model_validate({"device": device, "batch_size": "auto"})
    chosen = _study(model, revision, task, of_data, examples, compute)
    processes.quiet_libraries()
    memo = Memo(project.CACHE)
    with display(sys.stderr) as shown:
        progress.send_to(lambda what, done, total: shown.advanced(model, what, done, total))
        try:
            found = _scores(chosen, memo, shown)
        except RequestError as error:
            raise RequestError(_in_options(str(error))) from error
        finally:
            progress.send_to(None)
            shown.cleared(model)
        for metric, score in found["metrics"].items():
            if not math.isfinite(score["value"]):
                shown.say(f"{metric} is {score['value']}, in JSON null: {_NO_NUMBER}")
    print(files.json_text(found))


def list_tasks() -> list[str]:
    """A line for each task: its name, form, what it measures, and the fields of a file of it."""
    return [_line(name, tasks.task(name)) for name in tasks.names()]


def _line(name: str, task: Task) -> str:
    return f"{name}: {task.form}; {task.measures}; fields of a file: {', '.join(task.row_fields)}"


def _study(
    model: str,
    revision: str | None,
    task: str,
    files: dict[str, Files],
    examples: int | None,
    compute: Compute,
) -> Study:
    """The smallest study that asks for it; its validation finds what does not fit."""
    if not files and tasks.task(task).generate is not None:
        examples = examples or _GENERATED
    if model in BUILTIN or folder_of(model):
        require_no_revision(model, revision)
    found = described(model, revision)
    try:
        return Study(
            name="evaluation",
            title="one model on one benchmark",
            models=(Model(name=found.name, family=found.family, tasks=(task,), **found.keys),),
            data=files,
            examples={task: examples} if examples else {},
            methods=("magnitude",),
            sparsities=(0.5,),
            compute=compute,
        )
    except ValidationError as error:
        said = error.errors()[0]
        raise RequestError(str(said.get("ctx", {}).get("error", said["msg"]))) from error


def _files(task: str, data: Path | None, named: dict[str, Any]) -> dict[str, Files]:
    """The task's data as a study has them. Raises RequestError if there is no such file."""
    benchmark = tasks.task(task)
    if data is None:
        if named:
            raise RequestError(f"--{next(iter(named))} is of a file of examples; give it as --data")
        return {}
    if not _is_file(data):
        fields = ", ".join(benchmark.row_fields)
        raise RequestError(f"--data {data}: no such file; give one with the fields {fields}")
    try:
        # a study's data lie in its folder, this file where the command is given
        return {task: Files(test=str(data.absolute()), **named)}
    except ValidationError as error:
        said = error.errors()[0]
        raise RequestError(f"--{said['loc'][0]}: {said['msg']}, got {said['input']!r}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for a file, a null
        return False


def _scores(chosen: Study, memo: Memo, shown: Display) -> dict[str, Any]:
    model, task = chosen.models[0], chosen.models[0].tasks[0]
    data = Data(task, memo.run(task_examples.test_examples(chosen, task)).record, None)
    record = memo.run(checkpoints.base(chosen, model, 0, {})).record
    asked = replace(base_variant(chosen, model, 0, record), kind=_kind(model))
    if is_tuned(model, task):
        shown.say(f"{model.name} is fine-tuned for {task} first")
        tuned = memo.run(checkpoints.fine_tune(chosen, model, asked, task, None)).record
        asked = dense_variant(chosen, model, task, 0, tuned)
    answered = memo.run(quality.evaluate(chosen, asked, task, data.test)).record
    return {
        "model": model.id or model.name,
        "revision": record.get("revision"),
        "weights_sha256": asked.weights_sha256,
        "task": task,
        "examples": answered["examples"],
        "data_sha256": data.test["data_sha256"],
        "metrics": {
            metric: _metric(chosen, task, metric, answered, data.test)
            for metric in answered["metrics"]
        },
        "device": answered["device"],
        "dtype": answered["dtype"],
        "protocol": answered["protocol"],
        "collapsed": answered["collapsed"],
        "tokens_per_word": answered["tokens_per_word"],
        "seconds": answered["evaluate_seconds"],
    }


def _in_options(message: str) -> str:
    """The message with the keys of a study's `data` as this command has them."""

    def option(found: re.Match[str]) -> str:
        key, value = found.groups()
        if key == "quotes":
            return "`--no-quotes`" if value == "false" else "`--quotes`"
        return f"`--{key} {value}`" if value else f"`--{key}`"

    return re.sub(rf"`({'|'.join(_OPTIONS)})(?:: ([^`]+))?`", option, message)


def _kind(model: Model) -> str:
    """What a saved model is: of an alternative that a study made, its folder says which."""
    facts = read_alternative(Path(model.path)) if model.path else None
    return facts["kind"] if facts else "dense"


def _metric(
    chosen: Study, name: str, metric: str, answered: Record, test: Record
) -> dict[str, Any]:
    found, task = (
        quality.scored_interval(chosen, metric, answered),
        tasks.task(name, test.get("settings")),
    )
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "chance": test["chance"][metric],
        "best": test["best"].get(metric),
        "protocol": protocol(task, metric),
        "chance_from": chance_from(task),
    }
