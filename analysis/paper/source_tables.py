"""Tables of where things come from: models, data, published scores; and of what failed."""

import json
from typing import Any

import pandas as pd

from analysis.paper import cells, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape

_REVISION = 12  # characters of a commit that tell it from others
_REASON = 300  # characters of a message


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
                _or_dash(row["revision"], _REVISION),
                _or_dash(row["dtype"]),
                escape(_training(row["training"], source)),
            ]
        )
    header = ["Model", "Checkpoint", "Revision", "Type", "Trained here"]
    return text.table(header, body, "lllll")


_UNNAMED = {"builtin": "built in", "scratch": "trained from scratch", "replica": "random weights"}


def _identifier(row: pd.Series, source: str) -> str:
    """The hub's identifier or the folder's name; what a model without one is."""
    named = "" if text.is_missing(row["identifier"]) else escape(row["identifier"])
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
                _or_dash(row["source"]),
                _or_dash(row["split"]),
                text.count(row["examples"]),
                _or_dash(row["revision"], _REVISION),
                _or_dash(row["licence"]),
            ]
        )
    asked = {task for _, task in data.benchmarks}
    lost = sorted(asked - set(data["tasks"]["task"]))
    body += [[escape(task), "*failed*", *[text.MISSING] * 4] for task in lost]
    header = ["Task", "Source", "Split", "Examples", "Version", "Licence"]
    return text.table(header, body, "lllrll")


def _or_dash(value: Any, length: int | None = None) -> str:
    shown = "" if text.is_missing(value) else str(value)
    whole_hash = length and len(shown) == 40 and set(shown) <= set("0123456789abcdef")
    return escape(shown[:length] if whole_hash else shown) if shown else text.MISSING


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
                _or_dash(row["source"]),
                escape(measures),
            ]
        )
    header = ["Benchmark", "Metric", "Here", "Published", "Read in", "What is measured here"]
    return text.table(header, body, "llrrll")


def failures(data: Data) -> Md:
    """Every step that failed, and every variant that is missing for another reason than a level
    out of reach."""
    body = [
        [
            _or_dash(row["step"]),
            _or_dash(row["model"]),
            _or_dash(row["task"]),
            escape(row["reason"], _REASON) if row["reason"] == row["reason"] else "not recorded",
        ]
        for _, row in data["failures"].iterrows()
    ]
    told = set(data["failures"]["reason"])
    lost = data.variants[data.variants["status"] == "failed"]
    for (model, task, reason), rows in lost.groupby(
        ["model", "task", "reason"], sort=False, dropna=False
    ):
        if reason not in told:
            names = ", ".join(dict.fromkeys(rows["series"]))
            shown = "not recorded" if text.is_missing(reason) else escape(reason, _REASON)
            body.append([escape(names), escape(model), _or_dash(task), shown])
    return text.table(["Step", "Model", "Task", "Reason"], body, "llll")
