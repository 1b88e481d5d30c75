"""Tables that compare methods: level by level, against each other, trained, by sensitivity."""

import json

import pandas as pd

from analysis import pruning
from analysis.paper import series, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape

_UNREACHED = "*out of reach*"


def method_costs(data: Data) -> Md:
    """What each method looks at, and what it took for one level of one model."""
    body = []
    for name, rows in data.one_shot[data.one_shot["status"] == "ok"].groupby("method", sort=False):
        body.append(
            [
                escape(name),
                escape(pruning.title(str(name))),
                _LOOKS_AT[pruning.kind(str(name))],
                text.number(rows["prune_seconds"].mean(), 2),
                text.megabytes(rows["peak_bytes"].mean()),
            ]
        )
    header = ["Method", "In words", "Looks at", "Seconds", "Memory"]
    return text.table(header, body, "lllrr")


_LOOKS_AT = {
    "weights": "weights",
    "calibrated": "weights and inputs",
    "structured": "weights and inputs",
    "trained": "weights, while training",
}


def means(data: Data) -> Md:
    """Mean retained quality of each one-shot series at each level; the best of a level in bold."""
    grid = {name: [_mean(data, name, level) for level in data.levels] for name in data.entrants}
    best = [max((v for v in c if v is not None), default=None) for c in zip(*grid.values())]  # noqa: B905
    body = []
    for name, values in grid.items():
        cells = []
        for value, top, level in zip(values, best, data.levels, strict=True):
            shown = text.percent(value) if value is not None else _missing(data, name, level)
            cells.append(f"**{shown}**" if value is not None and value == top else shown)
        body.append([escape(name), *cells])
    header = ["Method", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "l" + "r" * len(data.levels))


def _mean(data: Data, name: str, level: float) -> float | None:
    values = data.retained(name, level)
    return data.mean_retained(values.values()) if len(values) == len(data.cells()) else None


def _missing(data: Data, name: str, level: float) -> str:
    """Why there is no number: out of reach, or not a level of this method."""
    rows = data.one_shot
    rows = rows[(rows["series"] == name) & (rows["sparsity"] == level)]
    return _UNREACHED if (rows["status"] == "unreachable").any() else text.MISSING


def winners(data: Data) -> Md:
    """The best one-shot series of each benchmark and level, and how many it is not surely above."""
    body = []
    for cell in data.cells():
        cells = [escape(cell[0]), escape(data.task_title(cell[1]))]
        body.append(cells + [_winner(data, cell, level) for level in data.levels])
    header = ["Model", "Task", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "ll" + "l" * len(data.levels))


def _winner(data: Data, cell: tuple[str, str], level: float) -> str:
    found = {name: data.find(*cell, name, level) for name in data.entrants}
    kept = {name: row["retained"] for name, row in found.items() if row is not None}
    kept = {name: value for name, value in kept.items() if not text.is_missing(value)}
    if not kept or max(kept.values()) <= 0:
        return "none above chance" if kept else text.MISSING
    best = max(kept, key=lambda name: kept[name])
    table = data.contests
    rivals = table[
        (table["series"] == best)
        & (table["model"] == cell[0])
        & (table["task"] == cell[1])
        & (table["sparsity"] == level)
        & table["other_series"].isin(kept)
    ]
    level_with = int((~(rivals["low"] > 0)).sum())
    shown = escape(best)
    return f"**{shown}**" if not level_with else f"{shown}, {text.count(level_with)} alike"


def methods_by_level(data: Data) -> Md:
    """What each benchmark retains under each series, level by level, with its interval."""
    cells = data.cells()
    body = []
    for level in data.levels:
        body.append([f"**{text.level(level)}**", *[""] * len(cells)])
        for name in [*data.entrants, *data.trained]:
            rows = [data.find(*cell, name, level) for cell in cells]
            if any(row is not None for row in rows):
                shown = [text.MISSING if row is None else _retained(row) for row in rows]
                body.append([escape(name), *shown])
    header = ["Level, method"]
    header += [_benchmark(data, cell) for cell in cells]
    return text.table(header, body, "l" + "r" * len(cells))


def _retained(row: pd.Series) -> str:
    low, high = (text.fixed(row[f"retained_{end}"]) for end in ("low", "high"))
    return f"{text.fixed(row['retained'])} ({low} to {high})"


def recovery(data: Data) -> Md:
    """What training wins back: retained before and after, the zeros after it, and the seconds."""
    body = []
    for cell in data.cells():
        for level in data.levels:
            after = {name: data.find(*cell, name, level) for name in data.trained}
            if all(row is None for row in after.values()):
                continue
            found = [row["variant"] for row in after.values() if row is not None]
            facts = data.variants.set_index("variant").loc[found]
            before = data.at(*cell, data.before(data.trained[-1]), level)
            body.append(
                [
                    _benchmark(data, cell),
                    text.level(level),
                    text.fixed(before["retained"]),
                    *(text.MISSING if row is None else _retained(row) for row in after.values()),
                    text.between(facts["achieved"], lambda share: text.percent(share, 2)),
                    text.between(facts["train_seconds"], lambda s: f"{s:.0f}"),
                ]
            )
    names = [name.split(", ")[-1] for name in data.trained]  # the method stands in the caption
    header = ["Benchmark", "Level", "One-shot", *map(escape, names), "Zeros after", "Seconds"]
    return text.table(header, body, "lrr" + "r" * (len(names) + 2))


def _signed(value: float) -> str:
    shown = text.fixed(value)
    return shown if shown.startswith("−") else f"+{shown}"


def _benchmark(data: Data, cell: tuple[str, str]) -> str:
    return f"{escape(cell[0])}: {escape(data.task_title(cell[1]))}"


def allocation(data: Data) -> Md:
    """Sparsities by sensitivity against the same for all: difference, and what was allotted."""
    body = []
    uniform = "magnitude-layer"
    contest = data.contest(uniform + series.ALLOCATED, uniform)
    settings = data.variants.set_index("variant")["settings"]
    for _, row in contest.iterrows():
        shares = json.loads(settings[row["variant"]])["allocation"]
        pair = [
            text.fixed(data.at(row["model"], row["task"], name, row["sparsity"])["retained"])
            for name in (uniform, row["series"])
        ]
        body.append(
            [
                _benchmark(data, (row["model"], row["task"])),
                text.level(row["sparsity"]),
                *pair,
                f"{_signed(row['difference'])} ({text.fixed(row['low'])} to"
                f" {text.fixed(row['high'])})",
                ", ".join(f"{escape(g)}: {text.percent(s, 0)}" for g, s in shares.items()),
            ]
        )
    header = ["Benchmark", "Level", "Uniform", "By sensitivity", "Difference", "Sparsities"]
    return text.table(header, body, "lrrrrl")
