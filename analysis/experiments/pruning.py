"""Pruning: every method of a study at every level, by masks or as smaller checkpoints."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any

from analysis import pruning, tasks
from analysis.engine.memo import Call, Record
from analysis.engine.runner import Runs, all_of
from analysis.experiments import costs, placement
from analysis.experiments.contract import NUMPY, OTHER_EXAMPLES, TORCH, Step, foreseen_object
from analysis.experiments.costs import Estimate, Setting
from analysis.experiments.examples import Data
from analysis.experiments.recovery import course
from analysis.experiments.variant import (
    Variant,
    failed_variant,
    pruned_variant,
    trained_for,
)
from analysis.experiments.work import Found, Work
from analysis.models.alternative import code_of_kinds
from analysis.pruning.patterns import parse
from analysis.study import Study

RANK = 1  # where its variants stand in tables


def prune(study: Study, dense: Variant, data: Data, method: str) -> Call:
    """All levels of one method on a dense checkpoint, put to the task of these data."""
    return _PRUNE[pruning.kind(method)](study, dense, data, method)


def _prune_by_weights(study: Study, dense: Variant, data: Data, method: str) -> Call:
    return Call(
        "analysis.steps.pruning.pruned:prune_checkpoint",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "method": method,
            "levels": levels(study, method),
            "include": list(study.include),
            "exclude": list(study.exclude),
            "seed": dense.seed,
        },
        code=(pruning.module_name(method),),
        libraries=(*NUMPY, "numba"),
        label=f"{dense.name}: prune by {method}",
    )


def _prune_calibrated(study: Study, dense: Variant, data: Data, method: str) -> Call:
    return Call(
        "analysis.steps.pruning.calibrated:prune_calibrated",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "method": method,
            "levels": levels(study, method),
            "include": list(study.include),
            "exclude": list(study.exclude),
            "calibration": calibration(study, dense, data),
        },
        code=(pruning.module_name(method), tasks.module_name(data.task), *code_of_kinds()),
        libraries=(*TORCH, "numba", "scipy"),
        label=f"{dense.name}: prune by {method}",
    )


def _shrink(study: Study, dense: Variant, data: Data, method: str) -> Call:
    return Call(
        "analysis.steps.pruning.shrunk:shrink_checkpoint",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "levels": list(study.sparsities),
            "calibration": calibration(study, dense, data),
        },
        code=(tasks.module_name(data.task), *code_of_kinds()),
        libraries=TORCH,
        label=f"{dense.name}: remove units",
    )


def _grow(study: Study, dense: Variant, data: Data, method: str) -> Call:
    assert study.recovery is not None  # the study has been validated
    return Call(
        "analysis.steps.pruning.grown:grow_sparse",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "sparsities": list(study.sparsities),
            "course": course(study, dense, data, study.recovery.gradual),
        },
        code=(pruning.module_name(method), tasks.module_name(data.task), *code_of_kinds()),
        libraries=(*TORCH, "numba"),
        label=f"{dense.name}: prune by {method}",
    )


_PRUNE = {
    "weights": _prune_by_weights,
    "calibrated": _prune_calibrated,
    "structured": _shrink,
    "trained": _grow,
}


def levels(study: Study, method: str) -> list[Any]:
    """The levels that a method is asked for: sparsities, or patterns."""
    return list(study.patterns if pruning.takes_patterns(method) else study.sparsities)


def calibration(study: Study, dense: Variant, data: Data) -> dict[str, Any]:
    """What a step that calibrates is told of it: other examples than training draws."""
    return {
        "task": data.task,
        "training": data.training_object,
        "examples": study.calibration.examples,
        "tokens": study.calibration.tokens,
        "seed": dense.seed + OTHER_EXAMPLES,
        "threads": study.compute.threads,
        "device": placement.device(study.compute),
    }


class Prunings:
    """The prunings of one dense checkpoint; each is begun once, whoever needs it.

    `data` is the task's that is calibrated and trained on.
    """

    def __init__(self, study: Study, runner: Runs, dense: Variant, data: Data):
        self._study, self._runner, self._dense, self._data = study, runner, dense, data
        self._begun: dict[str, asyncio.Future[Any]] = {}

    async def levels(self, method: str) -> list[Variant]:
        """The method's variants of the dense model: failed ones if its step failed."""
        study, dense = self._study, self._dense
        protocol = "fine-tuned" if pruning.kind(method) == "trained" else "one-shot"
        if method not in self._begun:
            call = prune(study, dense, self._data, method)
            self._begun[method] = asyncio.ensure_future(self._runner.attempt(call))
        record, reason = await self._begun[method]
        if record is None:
            return [
                failed_variant(study, dense, method, protocol, level, str(reason))
                for level in levels(study, method)
            ]
        return [
            pruned_variant(study, dense, method, protocol, record, level)
            for level in record["levels"]
        ]


def parts(work: Work) -> list[Awaitable[Found]]:
    """The variants of each method; of those that train, where the task is trained on."""
    methods = [
        method
        for method in work.study.methods
        if work.is_trained_on or pruning.kind(method) != "trained"
    ]
    return [_pruned(work, method) for method in methods]


async def _pruned(work: Work, method: str) -> Found:
    if pruning.kind(method) != "trained":
        found = await work.levels(method)
    else:  # what trains is the task's own
        own = Prunings(work.study, work.runner, work.dense, work.data)
        task = work.data.task
        found = [trained_for(variant, task) for variant in await own.levels(method)]
    return await all_of(work.scored(variant) for variant in found), []


def foreseen_level(call: Call, level: float | str) -> Record:
    """The record of a level that is not pruned yet."""
    sparsity = parse(level).sparsity if isinstance(level, str) else level
    return {"level": level, "sparsity": sparsity, "masks": foreseen_object(call, level)}


def _foreseen(call: Call) -> Record:
    asked = call.arguments.get("levels", call.arguments.get("sparsities"))
    return {"levels": [foreseen_level(call, level) for level in asked or ()]}


def _foreseen_smaller(call: Call) -> Record:
    return {
        "levels": [
            {"level": level, "sparsity": level, "checkpoint": foreseen_object(call, level)}
            | {"weights_sha256": foreseen_object(call, level)["object"]}
            for level in call.arguments["levels"]
        ]
    }


def _by_weights(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    levels = len(arguments["levels"])
    disk = levels * costs.MASK * setting.parameters
    return Estimate(levels * setting.bytes / costs.READ, 0.3e9 + setting.bytes / 8, disk)


def _calibrated(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    levels = len(arguments["levels"])
    longest = setting.size.positions if setting.form in ("causal", "cloze") else setting.tokens
    look = arguments["calibration"]
    read = replace(setting, tokens=min(longest, look["tokens"]))
    forward = costs.forward_seconds(read, look["examples"])
    values = costs.BYTES if arguments.get("method") != "wanda" else 0
    return Estimate(
        levels * 2 * forward + setting.bytes / costs.READ,
        1.6 * setting.bytes,
        levels * (costs.MASK + values) * setting.parameters,
    )


STEPS = {
    "prune_checkpoint": Step(_foreseen, estimate=_by_weights),
    "prune_calibrated": Step(_foreseen, estimate=_calibrated),
    "grow_sparse": Step(_foreseen, estimate=costs.training),
    "shrink_checkpoint": Step(_foreseen_smaller, estimate=_calibrated),
}
