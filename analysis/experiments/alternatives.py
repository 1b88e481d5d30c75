"""Alternatives to pruning: eight bits, a student, experts."""

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any

from analysis import tasks
from analysis.engine.memo import Call, Record
from analysis.engine.runner import all_of
from analysis.experiments import costs
from analysis.experiments.contract import (
    NUMPY,
    TORCH,
    Step,
    foreseen_checkpoint,
    foreseen_object,
)
from analysis.experiments.examples import Data
from analysis.experiments.pruning import calibration
from analysis.experiments.recovery import course
from analysis.experiments.variant import Scored, Variant, failed_dense, suffix
from analysis.experiments.work import Found, Work
from analysis.models.alternative import code_of_kinds
from analysis.study import Study
from analysis.study.sections import Alternatives

RANK = 4


def make(study: Study, dense: Variant, data: Data, kind: str) -> Call:
    """All variants of one kind, of the dense model of the task of these data."""
    assert study.alternatives is not None  # the study has been validated
    return _MAKE[kind](study, study.alternatives, dense, data)


def found(study: Study, dense: Variant, kind: str, record: Record) -> list[Variant]:
    """The variants that came of it."""
    return [
        alternative_variant(study, dense, kind, made, settings)
        for made, settings in _MADE[kind](record)
    ]


def alternative_variant(
    study: Study, dense: Variant, kind: str, record: Record, settings: Mapping[str, Any]
) -> Variant:
    """Another model made of the dense one, by a method that its kind is named after."""
    detail = "".join(f"/{settings[key]}" for key in ("shown", "router") if key in settings)
    return replace(
        dense,
        name=f"{dense.model}/{dense.task}/{kind}{detail}{suffix(study, dense.seed)}",
        checkpoint=record["checkpoint"]["object"],
        weights_sha256=record["weights_sha256"],
        parameters=record["parameters"],
        prunable=record.get("prunable_parameters", dense.prunable),
        train_seconds=record.get("train_seconds", 0.0),
        kind=kind,
        method=kind,
        protocol="distilled" if kind == "student" else "",
        settings={key: value for key, value in settings.items() if key != "shown"},
    )


def _quantise(study: Study, wanted: Alternatives, dense: Variant, data: Data) -> Call:
    return Call(
        "analysis.steps.alternatives.int8:quantise_checkpoint",
        {"checkpoint": dense.checkpoint, "weights_sha256": dense.weights_sha256},
        libraries=NUMPY,
        label=f"{dense.name}: quantise to int8",
    )


def _distil(study: Study, wanted: Alternatives, dense: Variant, data: Data) -> Call:
    return Call(
        "analysis.steps.alternatives.student:distil_student",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "course": course(study, dense, data, wanted.student),
        },
        code=(tasks.module_name(data.task), *code_of_kinds()),
        libraries=TORCH,
        label=f"{dense.name}: distil a student",
    )


def _moefy(study: Study, wanted: Alternatives, dense: Variant, data: Data) -> Call:
    return Call(
        "analysis.steps.alternatives.moe:moefy_checkpoint",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "experts": wanted.experts,
            "run": list(wanted.run),
            "calibration": calibration(study, dense, data),
        },
        code=(tasks.module_name(data.task), *code_of_kinds()),
        libraries=(*TORCH, "scipy"),
        label=f"{dense.name}: cut into experts",
    )


Made = list[tuple[Record, dict[str, Any]]]  # records, and what is to be said of each


def _quantised(record: Record) -> Made:
    return [(record, {"quantised_weights": record["quantised_weights"]})]


def _distilled(record: Record) -> Made:
    return [(record, {"layers": record["layers"], "flush_denormal": record["flush_denormal"]})]


def _moefied(record: Record) -> Made:
    said = ("run", "experts", "router", "run_share", "hit", "calibrated_on")
    return [
        (
            level,
            {
                "shown": f"{level['run']}-of-{level['experts']}",
                **{k: level[k] for k in said if k in level},
            },
        )
        for level in record["levels"]
    ]


_MAKE = {"int8": _quantise, "student": _distil, "moe": _moefy}
_MADE = {"int8": _quantised, "student": _distilled, "moe": _moefied}


def parts(work: Work) -> list[Awaitable[Found]]:
    """The variants of each kind of alternative."""
    wanted = work.study.alternatives
    if wanted is None or work.data.task not in wanted.tasks:
        return []
    return [_alternative(work, kind) for kind in wanted.kinds]


async def _alternative(work: Work, kind: str) -> Found:
    study, dense = work.study, work.dense
    record, reason = await work.runner.attempt(make(study, dense, work.data, kind))
    if record is None:
        task = work.data.task
        lost = failed_dense(study, work.model, task, dense.seed, str(reason), kind=kind)
        return [Scored(lost, {})], []
    made = found(study, dense, kind, record)
    return await all_of(work.scored(variant) for variant in made), []


def _foreseen_experts(call: Call) -> Record:
    return {
        "levels": [
            foreseen_checkpoint(call)
            | {
                "checkpoint": foreseen_object(call, (run, router)),
                "run": run,
                "experts": call.arguments["experts"],
                "router": router,
                "run_share": 0.0,
                "hit": 0.0,
                "calibrated_on": {},
            }
            for run in call.arguments["run"]
            for router in ("learned", "oracle")
        ]
    }


STEPS = {
    "distil_student": Step(foreseen_checkpoint, estimate=costs.training),
    "quantise_checkpoint": Step(foreseen_checkpoint),
    "moefy_checkpoint": Step(_foreseen_experts),
}
