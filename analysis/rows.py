"""From records to the rows of the result tables; nothing here is slow or remembered."""

import functools
import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis import tasks
from analysis.memo import Record
from analysis.results import COLUMNS, number
from analysis.scoring.intervals import Interval, compare, resample_counts
from analysis.scoring.statistics import METRICS
from analysis.study import Model, Study

Row = dict[str, Any]
Rows = dict[str, list[Row]]

_SAMPLES_SHOWN = 3


@dataclass(frozen=True)
class Variant:
    """A model as it is benchmarked, and where its weights and masks lie."""

    name: str
    model: str
    task: str
    seed: int
    checkpoint: str
    weights_sha256: str
    parameters: int
    prunable: int
    train_seconds: float
    masks: str | None = None
    method: str = "dense"
    protocol: str = ""
    sparsity: float = 0.0
    level: Row | None = None
    prune_seconds: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Scored:
    """A variant with its bytes and, if it was put to a task, its evaluation."""

    variant: Variant
    sizes: Record
    evaluation: Record | None = None


def merge(parts: Iterable[Rows]) -> Rows:
    """All rows of all parts, by table."""
    merged: Rows = {table: [] for table in COLUMNS}
    for part in parts:
        for table, listed in part.items():
            merged[table] += listed
    return merged


def _suffix(study: Study, seed: int) -> str:
    return f"/seed-{seed}" if len(study.seeds) > 1 else ""


def base_variant(study: Study, model: Model, seed: int, record: Record) -> Variant:
    """The pretrained model, fine-tuned for no task."""
    return _dense(f"{model.name}/dense{_suffix(study, seed)}", model, "", seed, record)


def dense_variant(study: Study, model: Model, task: str, seed: int, record: Record) -> Variant:
    """The model fine-tuned for the task, not pruned."""
    return _dense(f"{model.name}/{task}/dense{_suffix(study, seed)}", model, task, seed, record)


def _dense(name: str, model: Model, task: str, seed: int, record: Record) -> Variant:
    return Variant(
        name=name,
        model=model.name,
        task=task,
        seed=seed,
        checkpoint=record["checkpoint"]["object"],
        weights_sha256=record["weights_sha256"],
        parameters=record["parameters"],
        prunable=record["prunable_parameters"],
        train_seconds=record["train_seconds"],
    )


def pruned_variant(
    study: Study, dense: Variant, method: str, protocol: str, record: Record, level: Row
) -> Variant:
    """The dense variant, pruned by a method to a level."""
    stem = "/".join(part for part in (dense.model, dense.task) if part)
    name = f"{stem}/{method}/{protocol}/{level['sparsity']:g}{_suffix(study, dense.seed)}"
    return Variant(
        name=name,
        model=dense.model,
        task=dense.task,
        seed=dense.seed,
        checkpoint=dense.checkpoint,
        weights_sha256=dense.weights_sha256,
        parameters=dense.parameters,
        prunable=dense.prunable,
        train_seconds=0.0,
        masks=level["masks"]["object"],
        method=method,
        protocol=protocol,
        sparsity=level["sparsity"],
        level=level,
        prune_seconds=level["prune_seconds"],
        peak_bytes=record["peak_bytes"],
    )


def model_rows(model: Model, record: Record) -> Rows:
    """The row of table `models`."""
    row = {
        "model": model.name,
        "family": model.family,
        "source": model.source,
        "revision": record["weights_sha256"][:12],
        **{
            column: record[column]
            for column in (
                "weights_sha256",
                "parameters",
                "prunable_parameters",
                "dtype",
                "bytes",
                "train_seconds",
            )
        },
    }
    return {"models": [row]}


def task_rows(examples: dict[str, Record]) -> Rows:
    """The rows of table `tasks`: a row a metric."""
    listed = []
    for name, record in examples.items():
        task = tasks.task(name)
        shown = {
            field: record["sample"][0][field] for field in (*task.inputs, task.target) if field
        }
        for metric in task.metrics:
            described = METRICS[metric]
            listed.append(
                {
                    "task": name,
                    "metric": metric,
                    "higher_is_better": described.higher_is_better,
                    "chance": number(record["chance"][metric]),
                    "best": record["best"][metric],
                    "split": task.split,
                    "examples": record["examples"],
                    "data_sha256": record["data_sha256"],
                    "revision": task.revision,
                    "licence": task.licence,
                    "title": task.title,
                    "metric_title": described.title,
                    "unit": described.unit,
                    "log_scale": described.log_scale,
                    "measures": task.measures,
                    "sample": json.dumps(shown, ensure_ascii=False),
                }
            )
    return {"tasks": listed}


def scored_rows(study: Study, group: list[Scored], task: str, chance: Row) -> Rows:
    """The rows of a task's variants, the first of which is the dense model."""
    dense = group[0]
    listed: Rows = {"variants": [], "quality": [], "size": []}
    for scored in group:
        listed["variants"].append(variant_row(scored.variant))
        listed["size"] += size_rows(scored.variant, scored.sizes, dense.sizes)
        if scored.evaluation and dense.evaluation:
            listed["quality"] += quality_rows(
                study, scored.variant, task, chance, scored.evaluation, dense.evaluation
            )
    return listed


def variant_row(variant: Variant) -> Row:
    """The row of table `variants`; a dense model removes nothing of its prunable weights."""
    row: Row = {
        "variant": variant.name,
        "model": variant.model,
        "task": variant.task,
        "kind": "dense" if variant.level is None else "pruned",
        "method": variant.method,
        "protocol": variant.protocol,
        "sparsity": variant.sparsity,
        "achieved": 0.0,
        "scope_weights": variant.prunable,
        "whole_model": 0.0,
        "settings": "{}",
        "seed": variant.seed,
        "status": "ok",
        "prune_seconds": variant.prune_seconds,
        "train_seconds": variant.train_seconds,
        "peak_bytes": variant.peak_bytes,
        "parameters": variant.parameters,
    }
    if variant.level is not None:
        for column in ("achieved", "scope_weights", "whole_model", "threshold"):
            row[column] = variant.level[column]
    return row


def quality_rows(
    study: Study, variant: Variant, task: str, chance: Row, evaluation: Record, dense: Record
) -> list[Row]:
    """The rows of table `quality`: a metric each, with paired intervals against the dense model."""
    listed = []
    for metric, scored in evaluation["metrics"].items():
        counts = _counts(evaluation["examples"], study.bootstrap.resamples)
        compared = compare(
            METRICS[metric],
            np.asarray(scored["rows"]),
            np.asarray(dense["metrics"][metric]["rows"]),
            counts,
            chance[metric],
            study.bootstrap.confidence,
        )
        kept = compared.retained
        listed.append(
            {
                "variant": variant.name,
                "task": task,
                "metric": metric,
                "value": number(scored["value"]),
                **_bounds("", compared.score),
                "delta": number(compared.delta.value),
                **_bounds("delta_", compared.delta),
                "retained": number(kept.value),
                "examples": evaluation["examples"],
                "collapsed": evaluation["collapsed"],
                **_bounds("retained_", kept),
                "tokens_per_word": evaluation["tokens_per_word"],
                "sample": json.dumps(evaluation["sample"][:_SAMPLES_SHOWN], ensure_ascii=False),
            }
        )
    return listed


def _bounds(prefix: str, interval: Interval) -> Row:
    return {f"{prefix}low": number(interval.low), f"{prefix}high": number(interval.high)}


@functools.lru_cache(maxsize=8)
def _counts(examples: int, resamples: int) -> Any:
    return resample_counts(examples, resamples, seed=0)


def size_rows(variant: Variant, sizes: Record, dense_sizes: Record) -> list[Row]:
    """The rows of table `size`: a format each, against the dense file of the dense model."""
    whole = dense_sizes["bytes"]["dense"]
    return [
        {
            "variant": variant.name,
            "format": name,
            "bytes": count,
            "ratio": count / whole,
            "bound_bytes": sizes["bound_bytes"],
        }
        for name, count in sizes["bytes"].items()
    ]


def profile_rows(model: str, variant: str, record: Record) -> Rows:
    """The rows of the profile, histogram and cdf tables for a model's dense variant."""
    parts: Rows = {"profile": [{"model": model, **leaf} for leaf in record["leaves"]]}
    parts |= {"profile_scopes": [], "histogram": [], "cdf": []}
    for scope, content in record["scopes"].items():
        where = {"model": model, "scope": scope, **_scope_columns(scope)}
        parts["profile_scopes"].append(where | content["statistics"])
        for table in ("histogram", "cdf"):
            parts[table] += [{"variant": variant, "scope": scope, **row} for row in content[table]]
    return parts


def histogram_rows(variants: list[Variant], record: Record) -> Rows:
    """The rows of table `histogram` for variants of one checkpoint, over the whole model."""
    return {
        "histogram": [
            {"variant": variant.name, "scope": "model", **row}
            for variant, rows in zip(variants, record["histograms"], strict=True)
            for row in rows
        ]
    }


def _scope_columns(scope: str) -> Row:
    what, _, which = scope.partition(":")
    if what == "layer":
        part, layer = which.split(":")
        return {"part": part, "layer": int(layer)}
    return {what: which} if which else {}


def runtime_rows(variants: list[Variant], record: Record) -> list[Row]:
    """The rows of table `runtime`: latency of each variant and batch against the dense model's."""
    names = {"dense": variants[0].name} | {v.name: v.name for v in variants[1:]}
    medians = {
        (cell["variant"], cell["batch"]): statistics.median(cell["samples_ms"])
        for cell in record["cells"]
    }
    listed = []
    for cell in record["cells"]:
        median = medians[cell["variant"], cell["batch"]]
        listed.append(
            {
                "variant": names[cell["variant"]],
                "operation": "forward",
                "kernel": record["kernel"],
                "device": record["device"],
                "threads": record["threads"],
                "dtype": record["dtype"],
                "batch": cell["batch"],
                "tokens": record["tokens"],
                "iterations": len(cell["samples_ms"]),
                "p50_ms": median,
                "p95_ms": float(np.quantile(cell["samples_ms"], 0.95)),
                "tokens_per_second": 1e3 * cell["batch"] * record["tokens"] / median,
                "speedup": medians["dense", cell["batch"]] / median,
                "peak_bytes": cell["peak_bytes"],
                "samples_ms": json.dumps(cell["samples_ms"]),
            }
        )
    return listed
