"""Pruning methods: one small file each in `methods/`, all under one contract.

A method is a module with

    TITLE                 what a reader calls it
    CITATION              its key in references.bib
    in_scope(weight)      whether the method may remove entries of that tensor
    select(scope, sparsities)     one Selection per level, in the given order

`select` gets the tensors in scope only (a `Scope`) and leaves them as they are. Masks have the
shapes of the tensors as they are stored.
"""

from types import ModuleType

from analysis import registry

PACKAGE = "analysis.pruning.methods"


def names() -> list[str]:
    """The names of all methods."""
    return registry.names(PACKAGE)


def method(name: str) -> ModuleType:
    """The method of that name. Raises RequestError, with the nearest name, if there is none."""
    return registry.module(PACKAGE, "method", name)


def module_name(name: str) -> str:
    """The module that implements the method; its code is part of a pruning's key."""
    return registry.module_name(PACKAGE, name)
