"""What to run: a study file, typed and validated.

One channel chooses the study, the environment variable SPARSITY_STUDY: a name in `studies/` or a
path to a YAML file. Everything is checked here, before the first slow step:
`text` reads the YAML, `sections` has the keys with their types, `fits` and `model_fits` say whether
all of it fits together. `rehearsal` makes a study small. Steps never see one.
"""

import os
import reprlib
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError, field_validator, model_validator

from analysis.engine import project
from analysis.errors import RequestError, unknown
from analysis.study import fits
from analysis.study import text as study_text
from analysis.study.sections import Keys, Model, Section

VARIABLE = project.STUDY_VARIABLE
DEFAULT = project.DEFAULT_STUDY
FOLDER = project.STUDIES


class Study(Keys):
    """A study of which all fits together."""

    @field_validator("models")
    @classmethod
    def _enabled(cls, models: tuple[Model, ...]) -> tuple[Model, ...]:
        kept = tuple(model for model in models if model.enabled)
        if not kept:
            raise ValueError("models: all are switched off; give one of them `enabled: true`")
        return kept

    @model_validator(mode="after")
    def _fits_together(self) -> "Study":
        fits.check(self)
        return self


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


_RESERVED = {
    "name": "is taken from the file itself",
    "text": "is taken from the file itself",
    "rehearsal": "is asked for by `run --rehearse`",
}


def load(name_or_path: str, folder: Path = FOLDER) -> Study:
    """The validated study. Raises RequestError, one line that names the key, if it is wrong."""
    path = find(name_or_path, folder)
    text = study_text.read(path)
    tree = study_text.parsed(path, text)
    if path.stem == project.RESULTS:
        raise RequestError(
            f"{path}: a study may not be called {path.stem!r}, as its tables' folder"
        )
    for reserved, instead in _RESERVED.items():
        if reserved in tree:
            raise RequestError(f"{path}: {reserved}: {instead}; remove it")
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
    said = _IN_YAML.get(first["type"], f"{first['msg'][0].lower()}{first['msg'][1:]}")
    return f"{where}: got {_shown(first['input'])}; {said}"


_IN_YAML = {  # what pydantic says by Python's names for it
    "tuple_type": "write a list, such as [one, two]",
    "dict_type": "write a mapping, such as {key: value}",
    "model_type": "write a mapping, such as {key: value}",
    "model_attributes_type": "write a mapping, such as {key: value}",
    "string_type": "write text, in quotes if it looks like a number or is yes, no, on, off, null",
    "too_short": "name at least one",
}


def _shown(value: object) -> str:
    """The value as an error shows it: short, however large or nested it is."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, 60, 60
    return short.repr(value)


def _fields_at(location: Sequence[str | int]) -> list[str]:
    """The keys that are allowed at a place of a study."""
    kind: Any = Study
    for part in location:
        if isinstance(kind, type) and issubclass(kind, Section):
            kind = _plain(kind.model_fields[str(part)].annotation)
        else:  # the values of a mapping, the parts of a list
            kind = _plain(next(found for found in reversed(get_args(kind)) if found is not ...))
    kept = () if kind is Model else _RESERVED
    return [name for name in kind.model_fields if name not in kept]


def _plain(annotation: Any) -> Any:
    """A type without what surrounds it: its limits, and that it may be missing."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if isinstance(annotation, UnionType):
        return _plain(get_args(annotation)[0])
    return annotation
