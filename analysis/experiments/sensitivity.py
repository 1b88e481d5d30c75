"""Sensitivity: what each layer or kind of matrix bears, and pruning by that."""

import itertools
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis import tasks
from analysis.engine.memo import Call, Record
from analysis.engine.runner import all_of
from analysis.experiments import examples, placement, quality
from analysis.experiments.contract import NUMPY, SCORES, TORCH, Step, memory
from analysis.experiments.costs import Estimate, Setting
from analysis.experiments.pruning import foreseen_level
from analysis.experiments.variant import Scored, Variant, pruned_variant
from analysis.experiments.work import Found, Work
from analysis.models.alternative import code_of_kinds
from analysis.pruning.allocation.sensitivity import allocate
from analysis.results import Row
from analysis.study import Study

RANK = 3
_KINDS = 6  # of matrices in a block


def sensitivity(study: Study, dense: Variant, task: str, examples: Record) -> Call:
    """What each layer or kind of a dense model bears, on these examples."""
    assert study.sensitivity is not None
    where = placement.device(study.compute)
    return Call(
        "analysis.steps.sensitivity:measure_sensitivity",
        {
            "checkpoint": dense.checkpoint,
            "task_name": task,
            "settings": quality.asked(study, task, examples),
            "data": examples["data"]["object"],
            "by": study.sensitivity.by,
            "sparsities": list(study.sensitivity.sparsities),
            "batch_size": study.compute.batch_size,
            "place": {"threads": study.compute.threads, "device": where},
        },
        carried=memory(study, where),
        code=(tasks.module_name(task), *code_of_kinds()),
        libraries=(*TORCH, *SCORES, "numba"),
        label=f"{dense.name}: sensitivity",
    )


def prune_allocated(dense: Variant, sparsity: float, sparsities: dict[str, float]) -> Call:
    """A level at which each matrix has a sparsity of its own."""
    return Call(
        "analysis.steps.pruning.allocated:prune_allocated",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "sparsity": sparsity,
            "sparsities": sparsities,
        },
        libraries=(*NUMPY, "numba"),
        label=f"{dense.name}: prune by sensitivity to {sparsity:g}",
    )


def allocated_variant(
    study: Study, dense: Variant, shares: Mapping[str, float], record: Record, task: str = ""
) -> Variant:
    """The dense variant, its matrices pruned by magnitude to sparsities of their own.

    `task` is the one they were found on: a base checkpoint may be put to several, and each has its
    own variant.
    """
    found = pruned_variant(study, dense, "magnitude-layer", "one-shot", {}, dict(record))
    return replace(
        found,
        name="/".join([found.name, "allocated", *([task] if task and not dense.task else [])]),
        settings={"allocation": {group: round(share, 4) for group, share in shares.items()}},
    )


def sensitivity_rows(
    study: Study, dense: Variant, task: str, record: Record, chance: Row
) -> list[Row]:
    """The rows of table `sensitivity`: what is retained with one group of matrices pruned."""
    assert study.sensitivity is not None
    whole = {"metrics": record["dense"], "examples": record["examples"]}
    metric = next(iter(record["dense"]))
    return [
        {
            "model": dense.model,
            "task": task,
            "metric": metric,
            "by": study.sensitivity.by,
            "group": cell["group"],
            "sparsity": cell["sparsity"],
            "part": cell["part"],
            "layer": cell["layer"],
            "kind": cell["kind"],
            "weights": sum(cell["tensors"].values()),
            **quality.compared(study, metric, whole | {"metrics": cell["metrics"]}, whole, chance),
        }
        for cell in record["cells"]
    ]


def shares(rows: Sequence[Row], sparsity: float) -> dict[str, float]:
    """The sparsity of each group that its measured losses call for, at that total."""
    sizes = {row["group"]: row["weights"] for row in rows}
    losses: dict[str, list[tuple[float, float]]] = {group: [] for group in sizes}
    for row in rows:
        losses[row["group"]].append((row["sparsity"], _loss(row)))
    return allocate(sizes, losses, sparsity)


def _loss(row: Row) -> float:
    """What is lost; nothing if the examples cannot tell it from the dense model, or it is void."""
    if row["retained"] is None:  # an infinite perplexity, or a dense model not above chance
        return 1.0 if row["value"] is None else 0.0
    surely = row["retained_high"] is None or row["retained_high"] < 1
    return 1 - max(0.0, row["retained"]) if surely else 0.0


def parts(work: Work) -> list[Awaitable[Found]]:
    """What the groups of matrices bear, and the variants that are pruned by that."""
    asked = work.study.sensitivity
    return [_sensitive(work)] if asked is not None and work.data.task in asked.tasks else []


async def _sensitive(work: Work) -> Found:
    study, dense, task = work.study, work.dense, work.data.task
    assert study.sensitivity is not None
    drawn = examples.validation(work.data, study.sensitivity.examples)
    validation, _ = await work.runner.attempt(drawn)
    if validation is None:
        return [], []
    record, _ = await work.runner.attempt(sensitivity(study, dense, task, validation))
    if record is None:
        return [], []
    listed = sensitivity_rows(study, dense, task, record, validation["chance"])
    tensors = {name: cell["group"] for cell in record["cells"] for name in cell["tensors"]}

    async def one(level: float) -> list[Scored]:
        share = shares(listed, level)
        own = {name: share[group] for name, group in tensors.items()}
        pruned, _ = await work.runner.attempt(prune_allocated(dense, level, own))
        if pruned is None:
            return []
        return [await work.scored(allocated_variant(study, dense, share, pruned, task))]

    found = await all_of(one(level) for level in study.sensitivity.allocate)
    return list(itertools.chain(*found)), [{"sensitivity": listed}] if work.leads else []


def _estimate(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    groups = setting.size.layers if arguments["by"] == "layer" else _KINDS
    one = quality.estimated(arguments, setting)
    return replace(one, seconds=one.seconds * (1 + groups * len(arguments["sparsities"])))


STEPS = {
    "measure_sensitivity": Step(
        lambda call: {"dense": {"": {}}, "cells": [], "examples": 0}, estimate=_estimate
    ),
    "prune_allocated": Step(lambda call: foreseen_level(call, call.arguments["sparsity"])),
}
