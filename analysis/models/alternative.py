"""A folder that holds an alternative to pruning: a checkpoint as any other, with a note beside it.

The note, ALTERNATIVE, says which kind it is of and what its modules need to know. Whoever makes
such a model has its kind as a module in PACKAGE (see there), by which it is opened.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from analysis.engine import registry
from analysis.engine.files import replace_text
from analysis.errors import RequestError

PACKAGE = "analysis.alternatives.kinds"
ALTERNATIVE = "alternative.json"


def read_alternative(folder: Path) -> dict[str, Any] | None:
    """The facts of the alternative in a folder, its `kind` among them; None if there is none.

    Raises RequestError if the file is damaged.
    """
    path = folder / ALTERNATIVE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path} cannot be read: {error}; make that model again") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("kind"), str):
        raise RequestError(
            f"{path} does not say which kind of alternative this is: it needs an object with a"
            " text `kind`; make that model again"
        )
    return facts


def write_alternative(folder: Path, kind: str, facts: Mapping[str, Any]) -> None:
    """Write the kind and its facts, which are JSON's, beside the tensors."""
    text = json.dumps({**facts, "kind": kind}, sort_keys=True)
    replace_text(folder / ALTERNATIVE, text + "\n")


def kind_of(name: str) -> ModuleType:
    """The kind of that name. Raises RequestError, with the nearest name, if there is none."""
    return registry.module(PACKAGE, "kind of alternative", name)


def code_of_kinds() -> tuple[str, ...]:
    """The modules of all kinds, for keys of steps that open a model: any folder may hold one."""
    return tuple(registry.module_name(PACKAGE, kind) for kind in registry.names(PACKAGE))


def cpu_only(kind: str) -> bool:
    """Whether models of a kind compute on the CPU alone."""
    known = kind in registry.names(PACKAGE)
    return known and bool(registry.constants(PACKAGE, kind)["CPU_ONLY"])
