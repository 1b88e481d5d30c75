"""What goes into the steps that make alternatives to a pruned model; see `calls`."""

from typing import Any

from analysis import calls, placement, tasks
from analysis.data_calls import Data
from analysis.memo import Call, Record
from analysis.pruning_calls import training
from analysis.sections import Alternatives
from analysis.study import Study
from analysis.variants import Variant, alternative_variant


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


def _quantise(study: Study, wanted: Alternatives, dense: Variant, data: Data) -> Call:
    return Call(
        "analysis.steps.quantised:quantise_checkpoint",
        {"checkpoint": dense.checkpoint, "weights_sha256": dense.weights_sha256},
        libraries=calls.NUMPY,
        label=f"{dense.name}: quantise to int8",
    )


def _distil(study: Study, wanted: Alternatives, dense: Variant, data: Data) -> Call:
    return Call(
        "analysis.steps.student:distil_student",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            **training(study, dense, data, wanted.student),
        },
        code=(tasks.module_name(data.task),),
        libraries=calls.TORCH,
        label=f"{dense.name}: distil a student",
    )


def _moefy(study: Study, wanted: Alternatives, dense: Variant, data: Data) -> Call:
    return Call(
        "analysis.steps.moefied:moefy_checkpoint",
        {
            "checkpoint": dense.checkpoint,
            "weights_sha256": dense.weights_sha256,
            "task": data.task,
            "training": data.training_object,
            "experts": wanted.experts,
            "run": list(wanted.run),
            "examples": study.calibration.examples,
            "tokens": study.calibration.tokens,
            "seed": dense.seed + calls.OTHER_EXAMPLES,
            "threads": study.compute.threads,
            "device": placement.device(study.compute),
        },
        code=(tasks.module_name(data.task),),
        libraries=(*calls.TORCH, "scipy"),
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
