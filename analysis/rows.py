"""From records to the rows of the result tables; nothing here is slow or remembered."""

import json
from collections.abc import Iterable

from analysis import tasks
from analysis.memo import Record
from analysis.results import COLUMNS, number
from analysis.scores import contest_rows, quality_rows
from analysis.scoring.statistics import METRICS
from analysis.study import Model, Study
from analysis.variants import Row, Scored, Variant, variant_row

Rows = dict[str, list[Row]]


def merge(parts: Iterable[Rows]) -> Rows:
    """All rows of all parts, by table."""
    merged: Rows = {table: [] for table in COLUMNS}
    for part in parts:
        for table, listed in part.items():
            merged[table] += listed
    return merged


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
        if scored.sizes:
            listed["size"] += size_rows(scored.variant, scored.sizes, dense.sizes)
        if dense.evaluation:
            listed["quality"] += quality_rows(study, scored, task, chance, dense.evaluation)
    return listed | {"contests": contest_rows(study, group, task, chance)}


def recovery_rows(variant: Variant, record: Record, masks_kept: bool) -> Rows:
    """The rows of table `recovery`: how many of the removed weights are zero after each epoch."""
    return {
        "recovery": [
            {
                "variant": variant.name,
                "masks_kept": masks_kept,
                "epoch": epoch,
                "removed": record["removed"],
                "zeros": zeros,
                "sparsity": zeros / record["scope_weights"],
                "train_seconds": record["train_seconds"],
            }
            for epoch, zeros in enumerate(record["zeros_by_epoch"], start=1)
        ]
    }


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
