"""Records of timings, made up: what `timing_calls` asks for, answered by a rule for each kernel."""

from collections.abc import Mapping
from typing import Any

from analysis.execution.names import AUTO, DENSE, EXPERTS, INT8, TILED_CSR, TORCH_CSR
from analysis.memo import Call
from analysis.variants import Variant

RUNS = 10
LINEAR_BYTES = 340_000_000


def record(call: Call, groups: Mapping[str, list[Variant]]) -> dict:
    """The record of that call; `groups` has every variant of the model, by task."""
    found = {variant.name: variant for group in groups.values() for variant in group}
    return _STEPS[call.step](call.arguments, found)


def share(variant: Variant, kernel: str) -> float:
    """How long the kernel takes, as a share of the dense model's time."""
    level = variant.sparsity
    smaller = {"student": 0.55}.get(variant.kind, 1 - 0.5 * level * (variant.masks is None))
    return {
        DENSE: smaller,
        TORCH_CSR: 0.6 + 4 * (1 - level),
        TILED_CSR: 0.3 + 1.7 * (1 - level),
        AUTO: min(1.0, 0.3 + 1.7 * (1 - level)),
        INT8: 0.7,
        EXPERTS: 0.4 + 0.6 * variant.settings.get("run_share", 1.0),
    }[kernel]


def _samples(milliseconds: float) -> list[float]:
    return [milliseconds + 0.001 * i for i in range(RUNS)]


def _forward(given: Mapping[str, Any], found: Mapping[str, Variant]) -> dict:
    cells = []
    for batch in given["batches"]:
        for entry in given["variants"]:
            for kernel in entry["kernels"]:
                measured = entry["measured"] and batch == given["batches"][0]
                measured &= kernel not in (TORCH_CSR, TILED_CSR)
                time = 4.0 * batch * share(found[entry["name"]], kernel)
                cells.append(
                    _cell("forward", entry["name"], kernel, batch, time)
                    | {
                        "peak_bytes": 1 << 22 if measured else None,
                        "chosen": {DENSE: 1, TILED_CSR: 3} if kernel == AUTO else None,
                    }
                )
    return {"cells": cells} | _facts(given, given["tokens"])


def _generate(given: Mapping[str, Any], found: Mapping[str, Variant]) -> dict:
    cells = [
        _cell("generate", entry["name"], kernel, 1, 40 * share(found[entry["name"]], kernel))
        for entry in given["variants"]
        for kernel in entry["kernels"]
    ]
    return {"cells": cells} | _facts(given, given["new_tokens"])


def _train_step(given: Mapping[str, Any], found: Mapping[str, Variant]) -> dict:
    cells = [
        _cell("train_step", e["name"], DENSE, given["batch"], 12.0 * (1.08 if e["masks"] else 1))
        for e in given["variants"]
    ]
    return {"cells": cells} | _facts(given, given["tokens"])


def _replica(given: Mapping[str, Any], found: Mapping[str, Variant]) -> dict:
    """A dense pass takes 100 ms; kernels that skip zeros gain more than in small models."""
    cells = []
    for level in sorted(given["sparsities"]):
        for kernel, time, size in (
            (DENSE, 100.0, 1.0),
            (TORCH_CSR, 25 + 200 * (1 - level), 2 * (1 - level)),
            (TILED_CSR, 10 + 185 * (1 - level), 1.5 * (1 - level)),
        ):
            cells.append(
                _cell("forward", "", kernel, 1, time)
                | {"sparsity": level, "linear_bytes": round(LINEAR_BYTES * size)}
            )
    return {"cells": cells, "architecture": given["architecture"]} | _facts(given, 128)


def _cell(operation: str, name: str, kernel: str, batch: int, time: float) -> dict:
    told = {"variant": name, "kernel": kernel, "batch": batch, "operation": operation}
    return told | {"peak_bytes": None, "samples_ms": _samples(time)}


def _facts(given: Mapping[str, Any], tokens: int) -> dict:
    return {
        "device": "cpu",
        "device_name": "",
        "dtype": "float32",
        "threads": given["threads"],
        "tokens": tokens,
    }


_STEPS = {
    "measure_latency": _forward,
    "measure_generation": _generate,
    "measure_training": _train_step,
    "measure_replica": _replica,
}
