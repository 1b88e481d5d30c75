"""What to run: a study file, typed and validated.

One channel chooses the study, the environment variable SPARSITY_STUDY: a name in `studies/` or a
path to a YAML file. Everything is checked here, before the first slow step.
"""

import os
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from analysis import project, pruning, tasks
from analysis.errors import RequestError, unknown
from analysis.models.catalogue import BUILTIN, MAX_TOKENS
from analysis.pruning import patterns
from analysis.pruning.allocation import MOST

VARIABLE = "SPARSITY_STUDY"
DEFAULT = project.DEFAULT_STUDY
FOLDER = project.STUDIES

Level = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Line = Annotated[str, Field(min_length=1, max_length=300)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Section):
    """One model and the benchmarks it is put to."""

    name: Name
    family: Literal["encoder-only", "decoder-only", "encoder-decoder"]
    source: Literal["builtin"] = "builtin"
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]


class Runtime(_Section):
    """How latency is measured (facts: warm up, interleave, keep the raw samples)."""

    operations: Annotated[tuple[Literal["forward"], ...], Field(min_length=1)] = ("forward",)
    method: str = "magnitude"
    batches: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 8)
    tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = 16
    min_runs: Annotated[int, Field(ge=3)] = 10
    min_seconds: Annotated[float, Field(ge=0, le=60)] = 1.0
    warmup_runs: Count = 10
    warmup_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0
    max_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    threads: Count = 2


class Bootstrap(_Section):
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class Compute(_Section):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    jobs: Count = 1
    threads: Count = 1
    batch_size: Count = 64


class Calibration(_Section):
    """Training examples of a model's own task that calibrated methods look at."""

    examples: Count = 128
    tokens: Annotated[int, Field(ge=2, le=MAX_TOKENS)] = MAX_TOKENS


class Training(_Section):
    """So many training examples, taken so often."""

    examples: Count = 4000
    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    batch_size: Count = 32


class Recovery(_Section):
    """Training with the masks kept.

    tasks         for each model, those of its tasks that are in this list
    method        what prunes before the training by the study's `protocols`
    sparsities    at these levels
    training      how each of them is trained
    gradual       how the method `gradual` trains at each level; it climbs through all of them
    unmasked_at   the level at which, once, the same training is shown without masks
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    method: str = "magnitude"
    sparsities: Annotated[tuple[Level, ...], Field(min_length=1)]
    training: Training = Training(examples=2500, epochs=2.0, learning_rate=1.5e-3)
    gradual: Training = Training()
    unmasked_at: Level | None = None


class Sensitivity(_Section):
    """Each layer, or kind of matrix, pruned alone; from that, sparsities of their own.

    examples   of a validation sample, drawn as the test examples are, with another seed
    allocate   levels at which the sparsities derived are compared with the same for all
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    by: Literal["layer", "kind"] = "layer"
    sparsities: Annotated[tuple[Level, ...], Field(min_length=1)] = (0.5, 0.9)
    examples: Count = 256
    allocate: tuple[Level, ...] = ()


class Study(_Section):
    """A whole study; its YAML text is kept for the record."""

    name: Name
    title: Line
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    examples: dict[str, Count]
    methods: Annotated[tuple[str, ...], Field(min_length=1)]
    sparsities: Annotated[tuple[Level, ...], Field(min_length=1)]
    patterns: Annotated[tuple[str, ...], Field(min_length=1)] = ("2:4",)
    protocols: Annotated[
        tuple[Literal["one-shot", "fine-tuned", "distilled"], ...], Field(min_length=1)
    ] = ("one-shot",)
    include: tuple[Line, ...] = ()
    exclude: tuple[Line, ...] = ()
    calibration: Calibration = Calibration()
    recovery: Recovery | None = None
    sensitivity: Sensitivity | None = None
    formats: Annotated[tuple[Literal["dense", "dense+zstd"], ...], Field(min_length=1)] = (
        "dense",
        "dense+zstd",
    )
    runtime: Runtime = Runtime()
    bootstrap: Bootstrap = Bootstrap()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    compute: Compute = Compute()
    text: str = ""

    @model_validator(mode="after")
    def _names_exist(self) -> "Study":
        for i, model in enumerate(self.models):
            _check_model(f"models.{i}", model)
            for task in model.tasks:
                if task not in self.examples:
                    raise ValueError(f"examples: no number of examples for task {task!r}; add it")
        answered = {task for model in self.models for task in model.tasks}
        for task in self.examples:
            _require("examples", "task", task, tasks.names())
            if task not in answered:
                raise ValueError(f"examples: no model answers task {task!r}; remove it")
        for method in self.methods:
            _require("methods", "method", method, pruning.names())
        _check_methods(self)
        _check_recovery(self)
        _check_sensitivity(self)
        for pattern in self.patterns:
            try:
                patterns.parse(pattern)
            except RequestError as error:
                raise ValueError(f"patterns: {error}") from error
        _require("runtime.method", "method", self.runtime.method, self.methods)
        if "dense" not in self.formats:
            raise ValueError("formats: must contain 'dense', which the others are compared with")
        for key in ("methods", "sparsities", "patterns", "protocols", "formats", "seeds"):
            _require_unique(key, getattr(self, key))
        _require_unique("sparsities", [f"{s:g}" for s in self.sparsities])  # as variants are named
        _require_unique("runtime.batches", self.runtime.batches)
        _require_unique("models", [model.name for model in self.models])
        return self


def _check_methods(study: Study) -> None:
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


def _check_recovery(study: Study) -> None:
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
    for model in study.models:
        for task in set(model.tasks) & set(recovery.tasks) & set(BUILTIN[model.name].pretrained):
            raise ValueError(
                f"recovery.tasks: {model.name} is not fine-tuned for {task}; name another task"
            )


def _check_sensitivity(study: Study) -> None:
    if study.sensitivity is not None:
        _check_tasks("sensitivity.tasks", study, study.sensitivity.tasks)
        _check_levels("sensitivity.allocate", study, study.sensitivity.allocate)
        for where in ("sparsities", "allocate"):
            if any(level > MOST for level in getattr(study.sensitivity, where)):
                raise ValueError(
                    f"sensitivity.{where}: at most {MOST:g}; beyond it a layer would be emptied"
                )
        if study.include or study.exclude:
            raise ValueError(
                "sensitivity: prunes all layers' matrices, so include and exclude cannot be kept;"
                " leave it out, or these"
            )
        if study.sensitivity.allocate:
            _require("sensitivity.allocate", "method", "magnitude-layer", study.methods)
        _require_unique("sensitivity.sparsities", study.sensitivity.sparsities)


def _check_tasks(where: str, study: Study, tasks: tuple[str, ...]) -> None:
    _require_unique(where, tasks)
    for task in tasks:
        _require(where, "task", task, study.examples)


def _check_levels(where: str, study: Study, levels: tuple[float, ...]) -> None:
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


def chosen() -> str:
    """The study that the environment asks for: a name or a path."""
    return os.environ.get(VARIABLE) or DEFAULT


def find(name_or_path: str, folder: Path = FOLDER) -> Path:
    """The study file of that name in `folder`, or at that path.

    Raises RequestError, with the nearest name, if there is none.
    """
    path = Path(name_or_path)
    if path.suffix in (".yml", ".yaml") or len(path.parts) > 1:
        if not _is_file(path):
            raise RequestError(f"no study file at {path}; give a path to a .yml file or a name")
        return path
    path = folder / f"{name_or_path}.yml"
    if not _is_file(path):
        names = [p.stem for p in folder.glob("*.yml")]
        if not names:
            raise RequestError(
                f"no studies in {folder.resolve()}; run this in the project's folder, where"
                f" {folder}/ lies"
            )
        raise RequestError(unknown("study", name_or_path, names))
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for a file, a folder that may not be entered
        return False


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice: the last would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {_shown(key)} stands twice")
        return super().construct_mapping(node, deep)


def load(name_or_path: str, folder: Path = FOLDER) -> Study:
    """The validated study. Raises RequestError, one line that names the key, if it is wrong."""
    path = find(name_or_path, folder)
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.load(text, _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise RequestError(f"{path} is no YAML: {error}") from error
    except RecursionError as error:
        raise RequestError(f"{path} is nested too deeply for a study") from error
    if not isinstance(tree, dict):
        raise RequestError(f"{path}: a study is a mapping of keys such as title, models, methods")
    if "{{<" in text:
        raise RequestError(f"{path}: {{{{< would be a command where the paper prints it; remove it")
    if path.stem == project.RESULTS:
        raise RequestError(
            f"{path}: a study may not be called {path.stem!r}, as its tables' folder"
        )
    for reserved in ("name", "text"):
        if reserved in tree:
            raise RequestError(f"{path}: {reserved}: is taken from the file itself; remove it")
    try:
        keys = {str(key): value for key, value in tree.items()}
        return Study.model_validate({**keys, "name": path.stem, "text": text})
    except ValidationError as error:
        raise RequestError(f"{path}: {_first_line(error)}") from error


def _first_line(error: ValidationError) -> str:
    """One line for pydantic's first finding: the key, what is allowed, the nearest match."""
    found = error.errors()
    # a mistyped key is also a missing one: the mistake comes first
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, key = first["loc"]
        prefix = ".".join(str(part) for part in parents)
        fields = _fields_at(parents)
        return f"{prefix}{': ' if prefix else ''}{unknown('key', key, fields)}"
    if first["type"] == "missing":
        return f"{where}: is missing; add it"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == "literal_error":
        return f"{where}: got {_shown(first['input'])}. Allowed: {first['ctx']['expected']}."
    if where.startswith("sparsities"):
        return (
            f"{where}: got {_shown(first['input'])}; a sparsity is the fraction removed, above 0"
            " and below 1. For 50 %, write 0.5."
        )
    return f"{where}: got {_shown(first['input'])}; {first['msg'][0].lower()}{first['msg'][1:]}"


def _shown(value: object) -> str:
    """The value as an error shows it: short, however large or nested it is."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, 60, 60
    return short.repr(value)


def _fields_at(location: list[str | int]) -> list[str]:
    sections: dict[str, type[_Section]] = {
        "models": Model,
        "runtime": Runtime,
        "calibration": Calibration,
        "recovery": Recovery,
        "sensitivity": Sensitivity,
        "bootstrap": Bootstrap,
        "compute": Compute,
    }
    section = sections.get(str(location[0])) if location else Study
    return (
        [name for name in section.model_fields if name not in ("name", "text")]
        + (["name"] if section is Model else [])
        if section
        else []
    )
