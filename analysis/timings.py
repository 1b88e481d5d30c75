"""From records of timings to the rows of the tables `runtime` and `replicas`."""

import functools
import json
import statistics
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.execution.names import DENSE, INT8
from analysis.memo import Record
from analysis.rows import Rows
from analysis.variants import Row

_RESAMPLES = 500  # of the runs of a cell


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
