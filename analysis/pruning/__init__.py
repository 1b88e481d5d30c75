"""Pruning methods: one small file each in `methods/`, all under one contract.

A method is a module with

    TITLE                 what a reader calls it
    CITATION              its key in references.bib
    KIND                  what it needs, and so which functions it has
    in_scope(weight)      whether the method may remove entries of that tensor

Of KIND "weights", which looks at the weights alone:

    select(scope, levels)         one Selection per level, in the given order

`select` gets the tensors in scope only (a `Scope`) and leaves them as they are. Masks have the
shapes of the tensors as they are stored.

Of KIND "calibrated", which looks at what goes into each matrix, block after block:

    PRODUCTS                      whether it needs the inputs' products XᵀX, or their squares only
    quotas(shapes, level)         for each matrix [out, in] how many to remove, wherever it counts
    prune_matrix(weight, inputs, quota)   what is kept of one matrix, and its new values if any

Of KIND "structured": whole neurons and heads, chosen by their inputs' moments; see `structured`.
Of KIND "trained": magnitude while training goes on; see `analysis.training.growing`.

A level is a sparsity, or for methods with LEVELS = "patterns" a `Pattern` such as 2:4.
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


def takes_patterns(name: str) -> bool:
    """Whether the method's levels are N:M patterns rather than sparsities."""
    return registry.constants(PACKAGE, name).get("LEVELS") == "patterns"


def method(name: str) -> ModuleType:
    """The method of that name. Raises RequestError, with the nearest name, if there is none."""
    return registry.module(PACKAGE, "method", name)


def module_name(name: str) -> str:
    """The module that implements the method; its code is part of a pruning's key."""
    return registry.module_name(PACKAGE, name)
