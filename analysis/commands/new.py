"""Writes a study of some models that runs as it is: a commented file, and its Quarto profile."""

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from analysis import study, tasks
from analysis.engine import project
from analysis.engine.files import replace_text
from analysis.errors import RequestError, RunError
from analysis.models.catalogue import BUILTIN
from analysis.models.family import described

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")  # nothing that YAML takes for its own in a value
_FEW = 512  # test examples of a generated task
# what a model is put to where its publication names no task that is known here
_OF_FAMILY = {
    "encoder-only": ("sst2", "mrpc"),
    "decoder-only": ("wikitext2", "lambada"),
    "encoder-decoder": ("sst2", "mrpc"),
}
_LABELLED = ("sst2", "mrpc")  # of a checkpoint with a head that says labels, whatever its type
_OF_TYPE = {
    "t5": ("sst2-text", "mrpc-text"),
    "mt5": ("sst2-text", "mrpc-text"),
    "pegasus": ("xsum",),
    "m2m_100": ("wmt14-en-fr", "wmt14-en-de"),
}


@dataclass(frozen=True)
class Choice:
    """A model as the file will have it: the keys of its entry, and its tasks."""

    name: str
    family: str
    keys: dict[str, str]
    tasks: tuple[str, ...]
    fine_tune: tuple[str, ...]


def new(name: str, models: Sequence[str]) -> list[Path]:
    """Write the study `name` of these models; returns the files.

    A model is a built-in name, the folder of a saved one, or a hub id.

    Raises RequestError if the name is taken or no name, or a model is unknown, RunError if the
    project's folder cannot be written to; nothing is written then.
    """
    if not _NAME.fullmatch(name) or name == project.RESULTS:
        raise RequestError(f"{name!r} is no name of a study; use letters, digits, '-', '_' and '.'")
    if not models:
        raise RequestError("a study needs models: --model ID, once for each")
    paths = {
        "study": project.STUDIES / f"{name}.yml",
        "profile": Path(f"_quarto-{name}.yml"),
        "environment": Path(f"_environment-{name}"),
    }
    for path in paths.values():
        if path.exists():
            raise RequestError(f"{path} is there already; choose another name, or remove it")
    chosen = [_choice(model) for model in models]
    text = _text(name, _named_apart(chosen))
    try:
        paths["study"].parent.mkdir(exist_ok=True)
        replace_text(paths["study"], text)
        study.load(str(paths["study"]))
        replace_text(paths["profile"], f"project: {{output-dir: _output/{name}}}\n")
        replace_text(paths["environment"], f"{study.VARIABLE}={name}\n")
    except (OSError, RequestError) as error:
        for path in paths.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        if isinstance(error, RequestError):
            raise
        raise RunError(
            f"cannot write the study's files to {Path.cwd()}: {error.strerror}; give this user the"
            " right to write there, or copy the project to a folder of your own"
        ) from error
    return list(paths.values())


def _choice(model: str) -> Choice:
    found = described(model)
    if model in BUILTIN:
        return Choice(model, found.family, {}, BUILTIN[model].tasks, ())
    published = tuple(t for t in tasks.names() if model in tasks.task(t).published)
    by_type = _OF_TYPE.get(found.config.get("model_type", ""), _OF_FAMILY[found.family])
    classes = found.config.get("architectures") or ()
    if any(name.endswith("ForSequenceClassification") for name in classes):
        by_type = _LABELLED
    usual = published or by_type
    labels = tuple(task for task in usual if tasks.task(task).is_classification)
    return Choice(found.name, found.family, found.keys, usual, labels)


def _named_apart(chosen: Sequence[Choice]) -> list[Choice]:
    """The choices, each under a name of its own: of equal ones the second is NAME-2."""
    same = [(choice.name, choice.keys) for choice in chosen]
    for choice in chosen:
        if same.count((choice.name, choice.keys)) > 1:
            raise RequestError(
                f"two models are the same one, {choice.name!r}; give each of them once"
            )
    taken = {choice.name for choice in chosen}
    used = {choice.name for choice in chosen if not choice.keys}  # what is built in goes by it
    found = []
    for choice in chosen:
        name, number = choice.name, 2
        if choice.keys and name in used:
            while f"{name}-{number}" in taken:
                number += 1
            name = f"{name}-{number}"
        used.add(name)
        taken.add(name)
        found.append(replace(choice, name=name))
    return found


def _text(name: str, chosen: Sequence[Choice]) -> str:
    listed = "\n".join(_entry(choice) for choice in chosen)
    asked = dict.fromkeys(task for choice in chosen for task in choice.tasks)
    generated = [task for task in asked if tasks.task(task).generate is not None]
    counts = "".join(f"\n  {task}: {_FEW}" for task in generated) or " {}"
    short = any(not choice.keys for choice in chosen)  # built-in models
    return _TEMPLATE.format(
        name=name,
        title=json.dumps(f"What pruning does to {_sentence([c.name for c in chosen])}"),
        models=listed,
        counts=counts,
        tokens=32 if short else 128,
        calibration=96 if short else 256,
    )


def _entry(choice: Choice) -> str:
    own = {key: _scalar(value) for key, value in choice.keys.items()}
    keys = {"family": choice.family, **own, "tasks": _listed(choice.tasks)}
    if choice.fine_tune and choice.keys:
        keys["fine_tune"] = _listed(choice.fine_tune)
        if set(choice.tasks) - set(choice.fine_tune):
            keys["fine_tune"] += "   # the others are answered as it comes"
    lines = [f"    {key}: {value}" for key, value in keys.items()]
    return "\n".join([f"  - name: {_scalar(choice.name)}", *lines])


def _scalar(text: str) -> str:
    """The text as YAML has it: in quotes if it would be read as anything else (2024, on)."""
    plain = _PLAIN.fullmatch(text) and yaml.safe_load(text) == text
    return text if plain else json.dumps(text)


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"


def _sentence(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


_TEMPLATE = """\
# The study {name}. Run it with `make report STUDY={name}`, or see first what it takes:
# `python -m analysis plan --study {name}`. Every key, what it allows and its default:
# docs/studies.md, "Every key".

title: {title}

# what each model is put to: `python -m analysis evaluate --list-tasks`
models:
{models}

# how a checkpoint is trained for the tasks in its `fine_tune`
fine_tuning: {{epochs: 3, learning_rate: 2.0e-5, batch_size: 32}}

# your own files in place of a task's data set: JSON lines, CSV, parquet or text
# data:
#   sst2: {{train: train.jsonl, test: test.jsonl, columns: {{sentence: text}}}}

# how many test examples; of a task that is not named here, all that there are
examples:{counts}

# the first leads figures and claims; `python -m analysis prune --list-methods`
methods: [magnitude, magnitude-all, random]   # wanda and sparsegpt look at inputs too
sparsities: [0.10, 0.50, 0.90, 0.95, 0.99]    # the fraction removed
calibration: {{examples: 128, tokens: {calibration}}}

formats: [dense, dense+zstd, auto]

runtime:
  operations: [forward]
  batches: [1, 8]
  tokens: {tokens}
  threads: 2
  max_seconds: 5

seeds: [0]

compute:
  device: auto       # a GPU where there is one
  dtype: auto        # in which models answer: bfloat16 on a GPU that has it
  batch_size: auto   # as many as fit the memory
  jobs: 1            # steps side by side
  threads: 2         # of each step
"""
