"""From records of timings to the rows of the tables `runtime` and `replicas`."""

import json
import statistics
from typing import Any

import numpy as np

from analysis.execution.names import DENSE, INT8
from analysis.memo import Record
from analysis.rows import Rows
from analysis.variants import Row


def runtime_rows(record: Record) -> Rows:
    """Each variant, kernel and batch against the dense model, the first of the record's."""
    dense = record["cells"][0]["variant"]
    whole = {
        cell["batch"]: statistics.median(cell["samples_ms"])
        for cell in record["cells"]
        if cell["variant"] == dense
    }
    return {
        "runtime": [
            {
                "variant": cell["variant"],
                "operation": cell["operation"],
                **_measured(cell, record, whole[cell["batch"]]),
                "peak_bytes": cell["peak_bytes"],
                "chosen": json.dumps(cell["chosen"]) if cell.get("chosen") else None,
            }
            for cell in record["cells"]
        ]
    }


def replica_rows(record: Record) -> Rows:
    """Each level and kernel against torch's dense one on the same weights."""
    whole = {
        cell["sparsity"]: statistics.median(cell["samples_ms"])
        for cell in record["cells"]
        if cell["kernel"] == DENSE
    }
    return {
        "replicas": [
            {
                "architecture": record["architecture"],
                "sparsity": cell["sparsity"],
                **_measured(cell, record, whole[cell["sparsity"]]),
                "linear_bytes": cell["linear_bytes"],
            }
            for cell in record["cells"]
        ]
    }


def _measured(cell: Row, record: Record, dense: float) -> dict[str, Any]:
    """A cell's times, and how many times faster than `dense` (ms) it is."""
    samples = cell["samples_ms"]
    median = statistics.median(samples)
    return {
        "kernel": cell["kernel"],
        **{column: record[column] for column in ("device", "threads", "tokens")},
        "dtype": "int8" if cell["kernel"] == INT8 else record["dtype"],
        "batch": cell["batch"],
        "iterations": len(samples),
        "p50_ms": median,
        "p95_ms": float(np.quantile(samples, 0.95)),
        "tokens_per_second": 1e3 * cell["batch"] * record["tokens"] / median,
        "speedup": dense / median,
        "samples_ms": json.dumps(samples),
    }
