"""Pruning methods: products of a score, a group, an allocation and an update.

A method is a preset, `methods/NAME.py`: it says which it takes and holds no code. The first line of
its docstring is its line in `prune --list-methods`.

    TITLE                 what a reader calls it
    CITATION              its key in references.bib
    KIND                  what it needs to look at, and so how it is run
    in_scope(weight)      whether it may remove entries of that tensor (see `prunable`)
    SCORE                 what is compared, of `scores/`
    GROUP                 within what it is compared, the lowest going: of `groups/`
    ALLOCATION            how much goes of each group, of `allocation/`; None for the whole model
    UPDATE                what becomes of the weights that stay, of `updates/`

Of KIND "weights", which looks at the weights alone (`selection.select`): it has no UPDATE.
Of KIND "calibrated", which looks at what goes into each matrix, block after block
(`calibrated.select`): its GROUP lies within a matrix. SCORE is None where the update has its own.
Of KIND "structured": whole neurons and heads, chosen by their inputs' moments; see `structured`.
Of KIND "trained": magnitude while training goes on; see `analysis.training.growing`.

A level is a sparsity, or for methods with LEVELS = "patterns" a `Pattern` such as 2:4.

A new method is one file, two if it needs a new score, group, allocation or update: what these are
stands in the `__init__.py` of their rooms. A method imports what it takes and no more, as all that
it imports is in the keys of what it prunes.
"""

from types import ModuleType

from analysis.engine import registry

PACKAGE = "analysis.pruning.methods"


def names() -> list[str]:
    """The names of all methods."""
    return registry.names(PACKAGE)


def kind(name: str) -> str:
    """What the method needs: "weights", "calibrated", "structured" or "trained"."""
    return str(registry.constants(PACKAGE, name)["KIND"])


def title(name: str) -> str:
    """What a reader calls the method."""
    return str(registry.constants(PACKAGE, name)["TITLE"])


def citation(name: str) -> str:
    """The key of the method's paper in references.bib."""
    return str(registry.constants(PACKAGE, name)["CITATION"])


def takes_patterns(name: str) -> bool:
    """Whether the method's levels are N:M patterns rather than sparsities."""
    return registry.constants(PACKAGE, name).get("LEVELS") == "patterns"


def method(name: str) -> ModuleType:
    """The method of that name. Raises RequestError, with the nearest name, if there is none."""
    return registry.module(PACKAGE, "method", name)


def module_name(name: str) -> str:
    """The module that implements the method; its code is part of a pruning's key."""
    return registry.module_name(PACKAGE, name)
