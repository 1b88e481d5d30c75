"""Tables of what pruning and its alternatives save."""

from collections.abc import Sequence

import pandas as pd

from analysis.execution.names import AUTO, DENSE
from analysis.paper import cells, series, text, tradeoff
from analysis.paper.data import Data
from analysis.paper.text import Md, escape

LOSSES = (0.01, 0.05, 0.10)
_WHAT = {
    "one-shot": "weights removed",
    "trained": "weights removed, then trained",
    "int8": "quantised to eight bits",
    "student": "distilled into half the depth",
    "moe": "cut into experts",
    "structured": "units removed",
}


def sizes(data: Data) -> Md:
    """Bytes of each format at each level under the leading method, as a share of the dense file."""
    body = []
    for model in data.models:
        rows = data.sizes_of(model)
        dense = rows.loc[(rows["format"] == "dense") & (rows["sparsity"] == 0), "bytes"]
        columns = [0.0, *data.levels]
        if dense.empty:
            body.append([escape(model), text.MISSING, *["*failed*"] * len(columns)])
            continue
        for name in dict.fromkeys(rows["format"]):
            part = rows[rows["format"] == name].set_index("sparsity")["ratio"]
            body.append([escape(model), escape(name), *_shares(part, columns)])
        part = rows[rows["format"] == "dense"].set_index("sparsity")["bound_bytes"]
        body.append([escape(model), "*entropy bound*", *_shares(part / dense.iloc[0], columns)])
    header = ["Model", "Format", "Dense", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "ll" + "r" * (len(data.levels) + 1))


def _shares(by_level: pd.Series, levels: Sequence[float]) -> list[str]:
    """A cell for each level; a file that is not there was not written because its step failed."""
    return [text.percent(by_level[x]) if x in by_level.index else "*failed*" for x in levels]


def latencies(data: Data) -> Md:
    """Latency of each level and batch size, on the default kernel and on each layer's fastest."""
    table = data.latency[data.latency["kernel"].isin([DENSE, AUTO])]
    order = table["model"].map(data.models.index)
    keys = ["order", "batch", "kernel", "sparsity"]
    body = [
        [
            escape(row["model"]),
            text.count(row["batch"]),
            "dense" if row["sparsity"] == 0 else text.level(row["sparsity"]),
            escape(row["kernel"]),
            text.number(row["p50_ms"]),
            text.number(row["p95_ms"]),
            text.count(row["iterations"]),
            text.times(row["speedup"]),
            text.megabytes(row["peak_bytes"]),
        ]
        for _, row in table.assign(order=order).sort_values(keys).iterrows()
    ]
    lost = [m for m in data.models if m not in set(table["model"])] if len(table) else []
    rest = [text.MISSING] * 7
    body += [[escape(m), text.MISSING, cells.word(cells.untimed(data, m)), *rest[1:]] for m in lost]
    header = ["Model", "Batch", "Level", "Kernel", "p50 (ms)", "p95 (ms)", "Runs", "Speed-up",
              "Peak memory"]  # fmt: skip
    return text.table(header, body, "lrrlrrrrr")


def alternatives(data: Data) -> Md:
    """What the alternatives keep, weigh and take, over all models that were put to them."""
    variants = tradeoff.table(data)
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
    timed = tradeoff.table(data).set_index("variant")
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


def operations(data: Data) -> Md:
    """Writing and training: the dense model beside the levels of the method that was timed."""
    table = data.runtime[data.runtime["operation"] != "forward"]
    order = table["model"].map(data.models.index)
    chosen = table["kernel"] != DENSE
    body = [
        [
            escape(row["model"]),
            {"generate": "generate", "train_step": "training step"}[row["operation"]],
            "dense" if row["sparsity"] == 0 else text.level(row["sparsity"]),
            escape(row["kernel"]),
            text.number(row["p50_ms"]),
            text.number(row["tokens_per_second"]),
            text.times(row["speedup"]),
        ]
        for _, row in table.assign(order=order, chosen=chosen)
        .sort_values(["operation", "order", "chosen", "sparsity"])
        .iterrows()
    ]
    header = ["Model", "Operation", "Level", "Kernel", "p50 (ms)", "Tokens/s", "Speed-up"]
    return text.table(header, body, "llrlrrr")


def recommended(data: Data) -> Md:
    """For each model and each loss that one is ready to bear, the variant to take."""
    variants = tradeoff.table(data)
    body = []
    for model in data.models:
        own = variants[variants["model"] == model]
        for loss in LOSSES:
            row = tradeoff.recommended(own, loss)
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


def replicas(data: Data) -> Md:
    """Latency at true size by level and kernel."""
    body = [
        [
            escape(row["architecture"]),
            text.level(row["sparsity"]),
            escape(row["kernel"]),
            text.number(row["p50_ms"]),
            text.number(row["p95_ms"]),
            text.count(row["iterations"]),
            text.times(row["speedup"]),
            text.megabytes(row["linear_bytes"]),
        ]
        for _, row in data["replicas"].sort_values(["sparsity", "kernel"]).iterrows()
    ]
    header = ["Model", "Level", "Kernel", "p50 (ms)", "p95 (ms)", "Runs", "Speed-up",
              "Linear layers"]  # fmt: skip
    return text.table(header, body, "lrlrrrrr")
