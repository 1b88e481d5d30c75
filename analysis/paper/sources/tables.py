"""Tables of models, tasks, data, examples and published scores."""

import json
from typing import Any

import pandas as pd

from analysis.paper import cells, links, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape

_REVISION = 12  # characters of a commit that tell it from others


def origins(data: Data) -> Md:
    """Each model's identifier, revision, type of numbers, and what it was trained on here."""
    known = data["models"].set_index("model")
    body = []
    for model in data.models:
        if model not in known.index:
            body.append([escape(model), "*failed*", *[text.MISSING] * 3])
            continue
        row = known.loc[model]
        source = str(row["source"])
        body.append(
            [
                escape(model),
                _identifier(row, source),
                cells.or_dash(row["revision"], _REVISION),
                cells.or_dash(row["dtype"]),
                escape(_training(row["training"], source)),
            ]
        )
    header = ["Model", "Checkpoint", "Revision", "Type", "Trained here"]
    return text.table(header, body, "lllll")


_UNNAMED = {"builtin": "built in", "scratch": "trained from scratch", "replica": "random weights"}


def _identifier(row: pd.Series, source: str) -> str:
    """The hub's identifier or the folder's name; what a model without one is."""
    named = "" if text.is_missing(row["identifier"]) else str(row["identifier"])
    on_hub = source in ("hub", "replica")  # of a replica the published shape
    named = links.model(named, row["revision"]) if named and on_hub else named and escape(named)
    kind = _UNNAMED.get(source, "")
    if named and kind:
        return f"{named} ({kind})"
    return named or kind or escape(source)


def _training(told: Any, source: str) -> str:
    """What a model was trained on before its benchmarks, as one line of text."""
    if text.is_missing(told):
        return {"builtin": "the generated language"}.get(source, "no")
    try:
        read = json.loads(str(told))
    except ValueError:
        return str(told)
    if not read:
        return "no"
    if not isinstance(read, dict):
        return str(read)
    pairs = (f"{name.replace('_', ' ')} {_plain(value)}" for name, value in read.items())
    return "; ".join(pairs)


def _plain(value: Any) -> str:
    """A value as words: nothing of JSON's own marks."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_plain(own)}" for name, own in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return text.number(value) if isinstance(value, float) else str(value)


def datasets(data: Data) -> Md:
    """Each task's source, split, number of examples, version and licence."""
    body = []
    for _, rows in data["tasks"].groupby("task", sort=False):
        row = rows.iloc[0]
        body.append(
            [
                escape(row["title"]),
                _data_source(row),
                cells.or_dash(row["split"]),
                text.count(row["examples"]),
                cells.or_dash(row["revision"], _REVISION),
                cells.or_dash(row["licence"]),
            ]
        )
    asked = {task for _, task in data.benchmarks}
    lost = sorted(asked - set(data["tasks"]["task"]))
    body += [[escape(task), "*failed*", *[text.MISSING] * 4] for task in lost]
    header = ["Task", "Source", "Split", "Examples", "Version", "Licence"]
    return text.table(header, body, "lllrll")


def _data_source(row: pd.Series) -> str:
    source = row["source"]
    return text.MISSING if text.is_missing(source) else links.dataset(source, row["revision"])


def published(data: Data) -> Md:
    """Published scores beside those measured here, with where they were read."""
    dense = data.quality[data.quality["kind"] == "dense"]
    body = []
    for _, row in data["published"].iterrows():
        cell, metric = (row["model"], row["task"]), row["metric"]
        described = data["tasks"][
            (data["tasks"]["task"] == row["task"]) & (data["tasks"]["metric"] == metric)
        ]
        unit = "" if described.empty else str(described["unit"].fillna("").iloc[0])
        found = dense[
            (dense["model"] == cell[0]) & (dense["task"] == cell[1]) & (dense["metric"] == metric)
        ]
        measured = text.computed(found["value"].iloc[0], unit) if len(found) else "*failed*"
        measures = described["measures"].iloc[0] if len(described) else text.MISSING
        title = described["metric_title"].iloc[0] if len(described) else metric
        body.append(
            [
                cells.name(data, cell),
                escape(title),
                measured,
                text.score(row["value"], unit),
                cells.or_dash(row["source"]),
                escape(measures),
            ]
        )
    header = ["Benchmark", "Metric", "Here", "Published", "Read in", "What is measured here"]
    return text.table(header, body, "llrrll")


_SAMPLE = 300  # characters of an example that are shown


def models(data: Data) -> Md:
    """Name, family, parameters and bytes of each model."""
    known = data["models"].set_index("model")
    body = []
    for model in data.models:
        row = known.loc[model] if model in known.index else pd.Series(dtype=object)
        if text.is_missing(row.get("parameters")):
            told = [escape(row.get(c) or text.MISSING) for c in ("family", "source")]
            body.append([escape(model), *told, "*failed*", text.MISSING, text.MISSING])
            continue
        body.append(
            [
                escape(model),
                escape(row["family"]),
                escape(row["source"]),
                text.count(row["parameters"]),
                text.percent(row["prunable_parameters"] / row["parameters"]),
                text.megabytes(row["bytes"]),
            ]
        )
    header = ["Model", "Family", "Source", "Parameters", "Prunable", "File"]
    return text.table(header, body, "lllrrr")


def tasks(data: Data) -> Md:
    """What each task measures, how many examples, chance and the best possible score."""
    body = []
    for _, rows in data["tasks"].groupby("task", sort=False):
        first = rows.iloc[0]
        of_task = [escape(first["title"]), escape(_measured(rows)), text.count(first["examples"])]
        for i, (_, row) in enumerate(rows.iterrows()):
            title, measures, examples = of_task if i == 0 else ("", "", "")
            scores = [text.score(row[end], cells.unit_of(row)) for end in ("chance", "best")]
            body.append([title, measures, examples, escape(row["metric_title"]), *scores])
    header = ["Task", "Measures", "Examples", "Metric", "Chance", "Best"]
    return text.table(header, body, "llrlrr")


def _measured(rows: pd.DataFrame) -> str:
    """What a task measures, how that is counted, and what chance is."""
    first = rows.iloc[0]
    counted = "; ".join(dict.fromkeys(rows["protocol"].dropna()))
    chance = f"chance is {first['chance_from']}" if isinstance(first["chance_from"], str) else ""
    return "; ".join(part for part in (first["measures"], counted, chance) if part)


def samples(data: Data) -> Md:
    """One example of each task, as the models get it; of a long text its beginning."""
    body = []
    for task, sample in data["tasks"].groupby("task", sort=False)["sample"].first().items():
        fields = json.loads(sample)
        shown = " · ".join(
            f"*{escape(name)}*: {escape(value, _SAMPLE)}" for name, value in fields.items()
        )
        body.append([escape(data.task_title(str(task))), shown])
    return text.table(["Task", "Example"], body, "ll")
