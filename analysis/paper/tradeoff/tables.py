"""Tables of the alternatives and of which variant to take."""

import pandas as pd

from analysis.paper import cells, series, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape
from analysis.paper.tradeoff import measures

LOSSES = (0.01, 0.05, 0.10)
_WHAT = {
    "one-shot": "weights removed",
    "trained": "weights removed, then trained",
    "int8": "quantised to eight bits",
    "student": "distilled into half the depth",
    "moe": "cut into experts",
    "structured": "units removed",
}


def alternatives(data: Data) -> Md:
    """What the alternatives keep, weigh and take, over all models that were put to them."""
    variants = measures.table(data)
    trained = [name for name in data.trained if name in set(variants["series"])]
    tuned = [name for name in trained if series.untrained(name) == data.leading] or trained
    pruned = [*data.methods[:1], *tuned[:1]]
    shown = variants[~variants["group"].isin(["dense", "N:M"])]
    shown = shown[~shown["group"].isin(["one-shot", "trained"]) | shown["series"].isin(pruned)]
    body = []
    for (name, level), rows in shown.groupby(["series", "sparsity"], sort=False):
        what = _WHAT[rows["group"].iloc[0]]
        body.append(
            [
                escape(name) + (f" {text.level(level)}" if level else ""),
                what,
                text.between(rows["retained"], lambda x: text.number(x, 2)),
                text.between(rows["bytes_share"], text.percent),
                text.between(1 / rows["p50_ms_share"], text.times),
                text.count(len(rows)),
            ]
        )
    header = ["Variant", "What is done", "Retained", "File", "Speed-up", "Models"]
    return text.table(header, body, "llrrrr")


def alternatives_by_model(data: Data) -> Md:
    """The same model by model, with intervals, and the oracle's choice as the upper bound."""
    timed = measures.table(data).set_index("variant")
    alike = data.variants[~data.variants["kind"].isin(["dense", "pruned"])]
    lost = alike[(alike["status"] == "failed") & ~alike["variant"].isin(data.scores["variant"])]
    body = [
        [
            escape(row["model"]),
            escape(data.task_title(row["task"])),
            escape(row["series"]),
            *("*failed*", text.MISSING, text.MISSING, text.MISSING),
        ]
        for _, row in lost.iterrows()
    ]
    for _, row in data.scores[~data.scores["kind"].isin(["dense", "pruned"])].iterrows():
        void = (row["model"], row["task"]) in data.void
        found = timed.loc[row["variant"]] if row["variant"] in timed.index else None
        body.append(
            [
                escape(row["model"]),
                escape(data.task_title(row["task"])),
                escape(row["series"]),
                "*void*" if void else text.number(row["retained"], 3),
                text.MISSING if void else _interval(row),
                text.MISSING if found is None else text.percent(found["bytes_share"]),
                text.MISSING if found is None else text.number(found["p50_ms"]),
            ]
        )
    header = ["Model", "Task", "Variant", "Retained", "Interval", "File", "p50 (ms)"]
    return text.table(header, body, "lllrrrr")


def _interval(row: pd.Series) -> str:
    return f"{text.number(row['retained_low'], 3)} to {text.number(row['retained_high'], 3)}"


def recommended(data: Data) -> Md:
    """For each model and each loss that one is ready to bear, the variant to take."""
    variants = measures.table(data)
    body = []
    for model in data.models:
        own = variants[variants["model"] == model]
        for loss in LOSSES:
            row = measures.recommended(own, loss)
            if row is not None:
                body.append([escape(model), f"{text.percent(loss, 0)}", *_advice(row)])
        if own.empty and len(variants):
            why = cells.untimed(data, model)
            if data.first_task(model) is not None and (model, data.first_task(model)) in data.void:
                why = cells.VOID
            body.append([escape(model), text.MISSING, cells.word(why), *[text.MISSING] * 5])
    header = ["Model", "Loss", "Variant", "Retained", "File", "Format", "Speed-up", "Kernel"]
    return text.table(header, body, "lrlrrlrl")


def _advice(row: pd.Series) -> list[str]:
    level = f" {text.level(row['sparsity'])}" if row["sparsity"] else ""
    return [
        escape(row["series"]) + level,
        text.number(row["retained"], 2),
        text.percent(row["bytes_share"]),
        escape(row["format"]),
        text.times(1 / row["p50_ms_share"]),
        escape(row["kernel"]),
    ]
