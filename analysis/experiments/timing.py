"""Timing: how long variants take, side by side, alone on the machine after all other steps."""

import functools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import tasks
from analysis.engine import project
from analysis.engine.memo import Call, Record
from analysis.engine.runner import Runs
from analysis.execution.names import AUTO, DENSE, EXPERTS, INT8, TILED_CSR, TORCH_CSR
from analysis.execution.timing import Schedule
from analysis.experiments import costs, placement
from analysis.experiments.contract import TORCH, Step, memory
from analysis.experiments.costs import Estimate, Setting
from analysis.experiments.variant import Variant, in_one_shot
from analysis.models.alternative import code_of_kinds
from analysis.results import Row, Rows, merge
from analysis.study import Study
from analysis.study.sections import Model

ORACLE = "oracle"  # computes everything in order to know what to leave out: its time means nothing
_EACH = (DENSE, TORCH_CSR, TILED_CSR, AUTO)
_AS_THEY_ARE = {"dense": DENSE, "int8": INT8, "student": DENSE, "moe": EXPERTS}
_LIBRARIES = (*TORCH, "numba", "llvmlite")
_RESAMPLES = 500  # of the runs of a cell


def timings(study: Study, model: Model, groups: dict[str, list[Variant]]) -> list[Call]:
    """All timings of a model, given its variants by task, the dense one first in each.

    None where there is no dense model to compare with.
    """
    runtime = study.runtime
    groups = {task: group for task, group in groups.items() if group and _is_dense(group[0])}
    if not groups:
        return []
    task = runtime.task if runtime.task in groups else next(iter(groups))
    found = []
    if "forward" in runtime.operations:
        found.append(_forward(study, model, task, groups[task]))
    if "train_step" in runtime.operations:
        found.append(_train_step(study, model, task, groups[task]))
    writes = [t for t in groups if tasks.task(t).form in tasks.WRITES]
    if "generate" in runtime.operations and writes:
        found.append(_generate(study, model, writes[0], groups[writes[0]]))
    return found


async def time_rows(
    study: Study, runner: Runs, model: Model, groups: dict[str, list[Variant]]
) -> Rows:
    """The rows of a model's timings, one after the other, when nothing else is left to do."""
    records = [(await runner.attempt(call))[0] for call in timings(study, model, groups)]
    confidence = study.bootstrap.confidence
    return merge(runtime_rows(record, confidence) for record in records if record is not None)


async def true_size_rows(study: Study, runner: Runs) -> Rows:
    """The rows of the model of true size, if the study asks for one."""
    record = None if study.runtime.replica is None else (await runner.attempt(replica(study)))[0]
    return {} if record is None else replica_rows(record, study.bootstrap.confidence)


def _is_dense(variant: Variant) -> bool:
    return variant.kind == "dense"


def replica(study: Study) -> Call:
    """A model of true size with random weights, pruned to every level."""
    return Call(
        "analysis.steps.timing.replica:measure_replica",
        {
            "architecture": study.runtime.replica,
            "sparsities": list(study.sparsities),
            "schedule": _schedule(study),
            "threads": study.runtime.threads,
            "seed": 0,
        },
        libraries=_LIBRARIES,
        timing=True,
        label=f"{study.runtime.replica}: latency at true size",
    )


def _forward(study: Study, model: Model, task: str, group: Sequence[Variant]) -> Call:
    method = study.runtime.method
    return Call(
        "analysis.steps.timing.latency:measure_latency",
        {
            "variants": [
                _entry(v, _kernels(v, method))
                | {"measured": v.masks is None or in_one_shot(v, method)}
                for v in group
                if v.reached and v.settings.get("router") != ORACLE
            ],
            "batches": list(study.runtime.batches),
            "tokens": study.runtime.tokens,
            **_common(study, task),
        },
        carried=_memory(study),
        code=code_of_kinds(),
        libraries=_LIBRARIES,
        timing=True,
        fresh=True,
        label=f"{model.name}: latency",
    )


def _generate(study: Study, model: Model, task: str, group: Sequence[Variant]) -> Call:
    method = study.runtime.method
    return Call(
        "analysis.steps.timing.generation:measure_generation",
        {
            "variants": [
                _entry(v, (DENSE,) if v.kind == "dense" else (DENSE, AUTO))
                for v in group
                if in_one_shot(v, method)
            ],
            "tokens": study.runtime.tokens,
            "new_tokens": study.runtime.new_tokens,
            **_common(study, task),
        },
        carried=_memory(study),
        code=code_of_kinds(),
        libraries=_LIBRARIES,
        timing=True,
        label=f"{model.name}: generation",
    )


def _train_step(study: Study, model: Model, task: str, group: Sequence[Variant]) -> Call:
    method, level = study.runtime.method, study.runtime.masked_at
    return Call(
        "analysis.steps.timing.train_time:measure_training",
        {
            "variants": [
                _entry(v, (DENSE,))
                for v in group
                if in_one_shot(v, method) and v.sparsity in (0.0, level)
            ],
            "batch": max(study.runtime.batches),
            "tokens": study.runtime.tokens,
            **_common(study, task),
        },
        carried=_room(study),
        code=code_of_kinds(),
        libraries=_LIBRARIES,
        timing=True,
        label=f"{model.name}: training step",
    )


def _kernels(variant: Variant, method: str) -> tuple[str, ...]:
    if variant.masks is None:
        return (_AS_THEY_ARE.get(variant.kind, DENSE),)
    return _EACH if in_one_shot(variant, method) else (AUTO,)


def _entry(variant: Variant, kernels: Sequence[str]) -> dict[str, Any]:
    return {
        "name": variant.name,
        "checkpoint": variant.checkpoint,
        "masks": variant.masks,
        "kernels": list(kernels),
    }


def _common(study: Study, task: str) -> dict[str, Any]:
    return {
        "form": tasks.task(task).form,
        "schedule": _schedule(study),
        "place": {
            "threads": study.runtime.threads,
            "device": placement.device(study.compute),
        },
        "seed": 0,
    }


def _schedule(study: Study) -> dict[str, Any]:
    return {name: getattr(study.runtime, name) for name in asdict(Schedule())}


def _memory(study: Study) -> dict[str, Any]:
    """Where it is remembered which kernel is fastest, on whatever machine; and how much memory
    may be taken."""
    return {"kernels": str((project.CACHE / "kernels.json").resolve()), **_room(study)}


def _room(study: Study) -> dict[str, int]:
    """What models side by side may take: copies under way, and what the allocator keeps of them,
    come on top."""
    allowed = memory(study, placement.device(study.compute))
    return {name: size * 3 // 4 for name, size in allowed.items()}


def runtime_rows(record: Record, confidence: float) -> Rows:
    """Each variant, kernel and batch against the dense model, the first of the record's, as it was
    measured beside them: a cell that was not beside that one has the samples of its own."""
    dense = record["cells"][0]["variant"]
    whole = {
        cell["batch"]: cell["samples_ms"] for cell in record["cells"] if cell["variant"] == dense
    }
    return {
        "runtime": [
            {
                "variant": cell["variant"],
                "operation": cell["operation"],
                **_measured(cell, record, cell.get("dense_ms") or whole[cell["batch"]], confidence),
                "peak_bytes": cell["peak_bytes"],
                "chosen": json.dumps(cell["chosen"]) if cell.get("chosen") else None,
            }
            for cell in record["cells"]
        ]
    }


def replica_rows(record: Record, confidence: float) -> Rows:
    """Each level and kernel against torch's dense one on the same weights."""
    whole = {
        cell["sparsity"]: cell["samples_ms"] for cell in record["cells"] if cell["kernel"] == DENSE
    }
    return {
        "replicas": [
            {
                "architecture": record["architecture"],
                "sparsity": cell["sparsity"],
                **_measured(cell, record, whole[cell["sparsity"]], confidence),
                "linear_bytes": cell["linear_bytes"],
            }
            for cell in record["cells"]
        ]
    }


def _measured(cell: Row, record: Record, dense: list[float], confidence: float) -> dict[str, Any]:
    """A cell's times, and how many times faster than the `dense` samples (ms) it is."""
    samples = cell["samples_ms"]
    median = statistics.median(samples)
    low, high = _interval(samples, dense, confidence)
    return {
        "kernel": cell["kernel"],
        **{column: record[column] for column in ("device", "threads", "tokens")},
        "dtype": "int8" if cell["kernel"] == INT8 else record["dtype"],
        "batch": cell["batch"],
        "iterations": len(samples),
        "p50_ms": median,
        "p95_ms": float(np.quantile(samples, 0.95)),
        "tokens_per_second": 1e3 * cell["batch"] * record["tokens"] / median,
        "speedup": statistics.median(dense) / median,
        "speedup_low": low,
        "speedup_high": high,
        "samples_ms": json.dumps(samples),
    }


def _interval(samples: list[float], dense: list[float], confidence: float) -> tuple[float, float]:
    """The bootstrap interval of the ratio of the medians; of the dense samples it is 1."""
    if samples is dense:
        return 1.0, 1.0
    ratios = _medians(tuple(dense)) / _medians(tuple(samples))[::-1]  # other draws for each
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return float(low), float(high)


@functools.lru_cache(maxsize=32)
def _medians(samples: tuple[float, ...]) -> NDArray[np.float64]:
    drawn = np.random.default_rng(0).choice(np.array(samples), (_RESAMPLES, len(samples)))
    return np.asarray(np.median(drawn, axis=1))


def _estimate(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    cells = sum(len(variant["kernels"]) for variant in arguments.get("variants", ()))
    batches = len(arguments.get("batches", (1,)))
    schedule = arguments["schedule"]
    rounds = max(schedule["min_runs"], 1) + schedule["warmup_runs"]
    once = costs.forward_seconds(replace(setting, tokens=arguments.get("tokens", 128)), 1)
    seconds = cells * batches * min(schedule["max_seconds"], once * rounds)
    return Estimate(seconds, 2.2 * setting.bytes, 0.0)


STEPS = {
    "measure_latency": Step(estimate=_estimate),
    "measure_generation": Step(estimate=_estimate),
    "measure_training": Step(estimate=_estimate),
    "measure_replica": Step(),
}
