"""The experiments by their files: a new one is found as soon as it is there."""

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from analysis.engine import registry
from analysis.experiments.contract import Step

PACKAGE = "analysis.experiments"


def _modules() -> list[ModuleType]:
    return [registry.module(PACKAGE, "experiment", name) for name in registry.names(PACKAGE)]


def of_variants() -> list[Any]:
    """The experiments that add variants to a dense model, with `parts(work)`, in the order of
    their RANK: so they stand in tables."""
    found = [module for module in _modules() if hasattr(module, "RANK")]
    return sorted(found, key=lambda module: int(module.RANK))


@functools.cache
def steps() -> Mapping[str, Step]:
    """What is known of every step before it has run, by its name."""
    return {name: step for m in _modules() for name, step in getattr(m, "STEPS", {}).items()}
