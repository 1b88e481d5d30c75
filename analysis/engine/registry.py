"""Things found by their file: a new method or task is one new file, and no list to keep."""

import ast
import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from analysis.errors import RequestError, unknown


def names(package: str) -> list[str]:
    """The names of a package's modules, `magnitude_all.py` as `magnitude-all`, in order."""
    folder = Path(__file__).parents[1].joinpath(*package.split(".")[1:])
    return sorted(p.stem.replace("_", "-") for p in folder.glob("[!_]*.py"))


def module_name(package: str, name: str) -> str:
    """The dotted name of the module that is called `name` in `package`."""
    return f"{package}.{name.replace('-', '_')}"


def constants(package: str, name: str) -> dict[str, Any]:
    """The literal constants of a module, read from its text: nothing is imported for them."""
    return dict(_constants(package, name))


@functools.cache
def _constants(package: str, name: str) -> Mapping[str, Any]:
    path = Path(__file__).parents[1].joinpath(*module_name(package, name).split(".")[1:])
    tree = ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def module(package: str, what: str, name: str) -> ModuleType:
    """The module that is called `name`. Raises RequestError, with the nearest name, if none is."""
    allowed = names(package)
    if name not in allowed:
        raise RequestError(unknown(what, name, allowed))
    return importlib.import_module(module_name(package, name))
