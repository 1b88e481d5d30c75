"""What goes into the steps that measure time; see `calls`. They run alone, after all others."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from analysis import calls, placement, project, tasks
from analysis.execution.names import AUTO, DENSE, EXPERTS, INT8, TILED_CSR, TORCH_CSR
from analysis.execution.timing import Schedule
from analysis.memo import Call
from analysis.study import Model, Study
from analysis.variants import Variant

ORACLE = "oracle"  # computes everything in order to know what to leave out: its time means nothing
_EACH = (DENSE, TORCH_CSR, TILED_CSR, AUTO)
_AS_THEY_ARE = {"dense": DENSE, "int8": INT8, "student": DENSE, "moe": EXPERTS}
_LIBRARIES = (*calls.TORCH, "numba", "llvmlite")


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


def _is_dense(variant: Variant) -> bool:
    return variant.kind == "dense"


def in_one_shot(variant: Variant, method: str) -> bool:
    """Whether it is the dense model, or pruned by this method and no more."""
    plain = variant.protocol == "one-shot" and "allocation" not in variant.settings
    return variant.kind == "dense" or (variant.method == method and plain)


def replica(study: Study) -> Call:
    """A model of true size with random weights, pruned to every level."""
    return Call(
        "analysis.steps.replica:measure_replica",
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
        "analysis.steps.latency:measure_latency",
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
        libraries=_LIBRARIES,
        timing=True,
        fresh=True,
        label=f"{model.name}: latency",
    )


def _generate(study: Study, model: Model, task: str, group: Sequence[Variant]) -> Call:
    method = study.runtime.method
    return Call(
        "analysis.steps.generation:measure_generation",
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
        libraries=_LIBRARIES,
        timing=True,
        label=f"{model.name}: generation",
    )


def _train_step(study: Study, model: Model, task: str, group: Sequence[Variant]) -> Call:
    method, level = study.runtime.method, study.runtime.masked_at
    return Call(
        "analysis.steps.train_time:measure_training",
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
        "threads": study.runtime.threads,
        "device": placement.device(study.compute),
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
    allowed = calls.memory(study, placement.device(study.compute))
    return {name: size * 3 // 4 for name, size in allowed.items()}
