"""Records as steps would give them, as far as later steps depend on them: for a walk that computes
nothing."""

import hashlib
from collections.abc import Callable

from analysis import tasks
from analysis.memo import Call, Record
from analysis.pruning.patterns import parse
from analysis.tasks.stand_ins import stand_ins

# lead to no further step: their rows alone depend on them
LAST = frozenset(
    (
        "evaluate_variant",
        "measure_sizes",
        "profile_weights",
        "histograms_of_masked",
        "recover_without_masks",
    )
)


def stand_in(call: Call) -> Record:
    """What the step would give, its objects named by digests of their own that lead nowhere."""
    return _RECORDS[call.step](call)


def _object(call: Call, part: object = "") -> dict[str, str]:
    return {"object": hashlib.sha256(f"{call.key}{part}".encode()).hexdigest()}


def _examples(call: Call) -> Record:
    task = tasks.task(call.arguments["task_name"])
    return {
        "data": _object(call),
        "data_sha256": "",
        "examples": call.arguments["count"] or 0,
        "sample": stand_ins(task, 1, 0),
        "chance": dict.fromkeys(task.metrics, 0.5),
        "best": {},
    }


def _training(call: Call) -> Record:
    return {"data": _object(call), "training": _object(call, "training"), "labels": 2}


def _checkpoint(call: Call) -> Record:
    digest = _object(call)
    return {
        "checkpoint": digest,
        "weights_sha256": digest["object"],
        "parameters": None,
        "prunable_parameters": 0,
        "dtype": "",
        "bytes": 0,
        "train_seconds": 0.0,
        "quantised_weights": 0,
        "layers": {},
        "flush_denormal": True,
    }


def _level(call: Call, level: float | str) -> Record:
    sparsity = parse(level).sparsity if isinstance(level, str) else level
    return {"level": level, "sparsity": sparsity, "masks": _object(call, level)}


def _levels(call: Call) -> Record:
    asked = call.arguments.get("levels", call.arguments.get("sparsities"))
    return {"levels": [_level(call, level) for level in asked or ()]}


def _shrunk(call: Call) -> Record:
    return {
        "levels": [
            {"level": level, "sparsity": level, "checkpoint": _object(call, level)}
            | {"weights_sha256": _object(call, level)["object"]}
            for level in call.arguments["levels"]
        ]
    }


def _experts(call: Call) -> Record:
    return {
        "levels": [
            _checkpoint(call)
            | {
                "checkpoint": _object(call, (run, router)),
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


def _recovered(call: Call) -> Record:
    return {
        "masks": _object(call),
        "train_seconds": 0.0,
        "removed": 0,
        "zeros_by_epoch": [],
        "scope_weights": 1,
    }


def _evaluation(call: Call) -> Record:
    return {"metrics": {}, "examples": 0}


def _sizes(call: Call) -> Record:
    return {"bytes": dict.fromkeys(call.arguments["formats"], 1), "bound_bytes": 0}


_RECORDS: dict[str, Callable[[Call], Record]] = {
    "make_examples": _examples,
    "make_validation": _examples,
    "read_test": _examples,
    "stand_in_test": _examples,
    "read_training": _training,
    "stand_in_training": _training,
    "count_shared": lambda call: {"shared": 0},
    "pretrain_builtin": _checkpoint,
    "pretrain_scratch": _checkpoint,
    "take_hub_model": _checkpoint,
    "take_folder": _checkpoint,
    "make_replica": _checkpoint,
    "fine_tune": _checkpoint,
    "fine_tune_checkpoint": _checkpoint,
    "distil_student": _checkpoint,
    "quantise_checkpoint": _checkpoint,
    "moefy_checkpoint": _experts,
    "prune_checkpoint": _levels,
    "prune_calibrated": _levels,
    "grow_sparse": _levels,
    "shrink_checkpoint": _shrunk,
    "prune_allocated": lambda call: _level(call, call.arguments["sparsity"]),
    "recover": _recovered,
    "recover_without_masks": _recovered,
    "evaluate_variant": _evaluation,
    "measure_sizes": _sizes,
    "measure_sensitivity": lambda call: {"dense": {"": {}}, "cells": [], "examples": 0},
    "profile_weights": lambda call: {"leaves": [], "scopes": {}},
    "histograms_of_masked": lambda call: {"histograms": [[] for _ in call.arguments["masks"]]},
}
