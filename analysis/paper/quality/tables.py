"""Tables of scores: dense, at each level, with differences, over seeds."""

import functools

import pandas as pd

from analysis.paper import cells, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


def seeds(data: Data) -> Md:
    """What the leading method retains over all seeds: the mean, and from the least to the most."""
    body = []
    for cell in data.sound() if len(data.seeds) > 1 else ():
        found = [data.by_seed(cell, data.leading, level) for level in data.levels]
        shown = [
            f"{text.fixed(sum(own) / len(own))} ({text.fixed(min(own))} to {text.fixed(max(own))})"
            if own
            else text.MISSING
            for own in found
        ]
        counts = text.between(map(len, found), text.count)
        body.append([escape(cell[0]), escape(data.task_title(cell[1])), counts, *shown])
    header = ["Model", "Task", "Seeds", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "llr" + "r" * len(data.levels))


def baseline(data: Data) -> Md:
    """The dense models' scores with their intervals, between chance and the best possible."""
    body = []
    dense = data.quality[data.quality["kind"] == "dense"]
    published = data["published"].set_index(["model", "task", "metric"])["value"].to_dict()
    for model, task in data.benchmarks:
        rows = dense[(dense["model"] == model) & (dense["task"] == task)]
        names = [escape(model), escape(data.task_title(task))]
        if rows.empty:
            body.append([*names, text.MISSING, "*failed*", *[text.MISSING] * 4])
        for _, row in rows.iterrows():
            metric = data.metrics.loc[(task, row["metric"])]
            unit = cells.unit_of(metric)
            void = " ‡" if (model, task) in data.void else ""
            body.append(
                [
                    *names,
                    escape(metric["metric_title"]),
                    text.computed(row["value"], unit) + void,
                    _range(row["low"], row["high"], unit),
                    text.score(metric["chance"], unit),
                    text.score(metric["best"], unit),
                    text.score(published.get((model, task, row["metric"])), unit),
                ]
            )
    header = ["Model", "Task", "Metric", "Score", "Interval", "Chance", "Best", "Published"]
    return text.table(header, body, "lllrrrrr")


def quality(data: Data) -> Md:
    """The primary score at each level under the leading method, dense first."""
    body = []
    for cell in data.benchmarks:
        metric = data.primary.get(cell[1])
        described = None if metric is None else data.metrics.loc[(cell[1], metric)]
        unit = "" if described is None else cells.unit_of(described)
        void = " ‡" if cell in data.void else ""
        columns = [("dense", 0.0), *((data.leading, level) for level in data.levels)]
        scores = [
            cells.shown(data, cell, *column, functools.partial(_marked_score, unit))
            for column in columns
        ]
        body.append(
            [
                escape(cell[0]),
                escape(data.task_title(cell[1])) + void,
                text.MISSING if described is None else escape(described["metric_title"]),
                *scores,
            ]
        )
    header = ["Model", "Task", "Metric", "Dense", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "lll" + "r" * (len(data.levels) + 1))


def _marked_score(unit: str, row: pd.Series) -> str:
    return text.computed(row["value"], unit) + _mark(row)


def differences(data: Data) -> Md:
    """Every score under the leading method, with its paired difference from the dense model."""
    body = []
    pruned = data.quality[data.quality["series"] == data.leading]
    in_order = pruned.groupby(["model", "task", "metric"], sort=False).ngroup()
    for _, row in pruned.assign(order=in_order).sort_values(["order", "sparsity"]).iterrows():
        metric = data.metrics.loc[(row["task"], row["metric"])]
        unit = cells.unit_of(metric)
        body.append(
            [
                escape(row["model"]),
                escape(data.task_title(row["task"])),
                escape(metric["metric_title"]),
                text.level(row["sparsity"]),
                text.computed(row["value"], unit) + _mark(row),
                text.signed(row["delta"], unit),
                _range(row["delta_low"], row["delta_high"], unit, signed=True),
                cells.word(cells.VOID)
                if (row["model"], row["task"]) in data.void
                else text.number(row["retained"], 2),
            ]
        )
    header = [
        "Model", "Task", "Metric", "Level", "Score", "Difference", "Interval", "Retained",
    ]  # fmt: skip
    return text.table(header, body, "lllrrrrr")


def _mark(row: pd.Series) -> str:
    """A dagger where the model gives one answer to everything."""
    return " †" if row["collapsed"] else ""


def _range(low: float, high: float, unit: str, signed: bool = False) -> str:
    if text.is_missing(low) and text.is_missing(high):
        return text.MISSING
    shown = text.signed if signed else text.score
    return f"{shown(low, unit)} to {shown(high, unit)}"
