"""Benchmarks: one small file each, all under one contract, and none of them heavy to import.

A task is a module with `TASK`, a `Task`. What is shared by tasks stands in `analysis.tasks`;
how answers are had and scored, in `analysis.scoring`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import registry

PACKAGE = "analysis.tasks.benchmarks"

Example = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One benchmark.

    form       how it is answered: "classification", "causal" or "text-to-text"
    inputs     the fields of an example that the model reads
    target     the field that it is compared with (None: the text itself)
    metrics    names in analysis.scoring.metrics; the first is the one that figures show
    generate   (count, seed) -> examples of the test split
    best       metric -> the best score that any model can reach; for a generated language it is
               known, "perplexity" coming from the examples' own probabilities
    """

    title: str
    measures: str
    form: str
    inputs: tuple[str, ...]
    target: str | None
    metrics: tuple[str, ...]
    generate: Callable[[int, int], list[Example]]
    best: dict[str, float]
    split: str = "test"
    revision: str = "1"
    licence: str = "MIT (generated)"


def references(task: Task, examples: Sequence[Example]) -> list[Any]:
    """What the predictions are held against."""
    if task.target is None:
        return [len(example[task.inputs[0]].split()) for example in examples]
    return [example[task.target] for example in examples]


def names() -> list[str]:
    """The names of all tasks."""
    return registry.names(PACKAGE)


def task(name: str) -> Task:
    """The task of that name. Raises RequestError, with the nearest name, if there is none."""
    return registry.module(PACKAGE, "task", name).TASK


def module_name(name: str) -> str:
    """The module that describes the task; its code is part of an evaluation's key."""
    return registry.module_name(PACKAGE, name)
