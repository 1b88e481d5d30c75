"""The sections of the paper, and what each can show: figures, tables, values, findings by name.

A section is a folder; its figures stand in figures.py, its tables in tables.py, and so on: every
public function there can be asked for by its name.
"""

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

from analysis.errors import RequestError, unknown

SECTIONS = (
    *("overview", "sources", "profile", "pruning", "quality", "methods", "training", "layers"),
    *("size", "runtime", "tradeoff", "claims", "environment"),
)


@functools.cache
def known(kind: str) -> dict[str, Callable[..., Any]]:
    """All that there is of a kind, by name."""
    found: dict[str, Callable[..., Any]] = {}
    for section in SECTIONS:
        name = f"analysis.paper.{section}.{kind}s"
        if importlib.util.find_spec(name) is None:
            continue
        for key, function in inspect.getmembers(importlib.import_module(name), inspect.isfunction):
            if function.__module__ == name and not key.startswith("_"):
                found[key] = function
    return found


def named(kind: str, name: str) -> Callable[..., Any]:
    """The one of that name. Raises RequestError with the nearest name if there is none."""
    functions = known(kind)
    if name not in functions:
        raise RequestError(unknown(kind, name, functions))
    return functions[name]
