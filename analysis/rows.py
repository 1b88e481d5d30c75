"""From records to the rows of the result tables; nothing here is slow or remembered."""

import json
from collections.abc import Iterable, Mapping, Sequence

from analysis import tasks
from analysis.memo import Record
from analysis.results import COLUMNS, number
from analysis.scores import contest_rows, quality_rows
from analysis.scoring.statistics import METRICS
from analysis.study import Model, Study
from analysis.tasks import Task
from analysis.tasks.protocols import chance_from, protocol
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
        **_named(model, record.get("identifier", "")),
        "source": record.get("source", model.source),
        "revision": record.get("revision") or record["weights_sha256"][:12],
        "training": json.dumps(record["training"]) if record.get("training") else None,
        "outside_share": record.get("outside_weights", {}).get("share"),
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


def missing_model_rows(model: Model) -> Rows:
    """The row of a model that could not be had."""
    return {"models": [_named(model, model.id or "") | {"source": model.source}]}


def _named(model: Model, identifier: str) -> Row:
    return {"model": model.name, "family": model.family, "identifier": identifier or None}


def failure_rows(study: Study, failures: Mapping[str, str]) -> Rows:
    """The rows of table `failures`: steps by their label, which begins with what they are on."""
    models, listed = {model.name for model in study.models}, []
    for label, reason in failures.items():
        about = label.split(": ")[0].split("/")
        model = about[0] if about[0] in models else None
        task = next(
            (part for part in (*about, label.rpartition(" for ")[2]) if part in tasks.names()), None
        )
        listed.append({"step": label, "model": model, "task": task, "reason": reason})
    return {"failures": listed}


def task_rows(study: Study, examples: dict[str, Record]) -> Rows:
    """The rows of tables `tasks` and `published`: a row a metric."""
    listed, scores = [], []
    for name, record in examples.items():
        task = tasks.task(name, record.get("settings"))
        shown = {
            field: record["sample"][0][field] for field in (*task.inputs, task.target) if field
        }
        known = _published(study, name, task)
        scores += known
        for metric in task.metrics:
            described = METRICS[metric]
            first = next((row for row in known if row["metric"] == metric), None)
            listed.append(
                {
                    "task": name,
                    "metric": metric,
                    "higher_is_better": described.higher_is_better,
                    "chance": number(record["chance"][metric]),
                    "best": record["best"].get(metric),
                    "examples": record["examples"],
                    "data_sha256": record["data_sha256"],
                    **_of_data(study, name, record),
                    "published": f"{first['value']:g}" if first else None,
                    "published_source": f"{first['model']}: {first['source']}" if first else None,
                    "metric_title": described.title.replace("per word", f"per {task.unit}"),
                    "unit": described.unit,
                    "log_scale": described.log_scale,
                    "measures": task.measures,
                    "sample": json.dumps(shown, ensure_ascii=False),
                    "protocol": protocol(task, metric),
                    "chance_from": chance_from(task),
                    "training_revision": record.get("training_revision"),
                    "also_trained_on": record.get("also_trained_on"),
                }
            )
    return {"tasks": listed, "published": scores}


def _published(study: Study, name: str, task: Task) -> list[Row]:
    """What the models' publications say of them on this task, in the study's order; nothing where
    the study brings its own files, which no publication knows."""
    if name in study.data:
        return []
    return [
        {
            "model": model.name,
            "task": name,
            "metric": metric,
            "value": found.value,
            "source": found.source,
        }
        for model in study.models
        if name in model.tasks
        for metric, found in task.published.get(model.id or "", {}).items()
    ]


def _of_data(study: Study, name: str, record: Record) -> Row:
    """Where the examples come from, and under what terms."""
    task, files = tasks.task(name), study.data.get(name)
    revision = record.get("revision", task.revision)
    if study.rehearsal and revision == "stand-in":
        source, licence = "stand-ins for a rehearsal", "MIT (generated)"
    elif files is not None:
        source, licence = "files", files.licence
    elif task.hub is not None:
        named = f" ({task.hub.name})" if task.hub.name else ""
        source, licence = f"hub: {task.hub.path}{named}", task.licence
    else:
        source, licence = "generated", task.licence
    return {
        "title": (files.title if files else None) or task.title,
        "split": task.hub.split if task.hub and not files else task.split,
        "revision": revision,
        "licence": licence,
        "source": source,
    }


def variant_rows(groups: Iterable[Sequence[Scored]]) -> Rows:
    """The rows of tables `variants` and `size`, the first of each group being the dense model.

    A variant that is put to several tasks is one variant; if one of them failed, it says so.
    """
    listed: dict[str, Row] = {}
    sizes: dict[str, list[Row]] = {}
    for group in groups:
        for scored in group:
            name = scored.variant.name
            if name not in listed or not scored.variant.reached:
                listed[name] = variant_row(scored.variant)
            if scored.sizes:
                sizes[name] = size_rows(scored.variant, scored.sizes, group[0].sizes)
    return {
        "variants": list(listed.values()),
        "size": [row for some in sizes.values() for row in some],
    }


def score_rows(study: Study, group: Sequence[Scored], task: str, chance: Row) -> Rows:
    """The rows of tables `quality` and `contests` of a task's variants, the dense one first."""
    dense = group[0].evaluation
    if dense is None:
        return {}
    quality = [row for s in group for row in quality_rows(study, s, task, chance, dense)]
    return {"quality": quality, "contests": contest_rows(study, group, task, chance)}


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
    whole = (dense_sizes or sizes)["bytes"]["dense"]
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
