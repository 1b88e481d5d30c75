"""Tables that compare methods: level by level, against each other, trained, by sensitivity."""

import json

import pandas as pd

from analysis import pruning
from analysis.paper import cells, series, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


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
    """Mean retained quality of each one-shot series at each level; the best of a level in bold.

    A double dagger marks a mean that lacks benchmarks of which the series failed.
    """
    grid = {name: [_mean(data, name, level) for level in data.levels] for name in data.entrants}
    body = []
    best = [
        max((m for m, whole in column if whole and m is not None), default=None)
        for column in zip(*grid.values(), strict=True)
    ]
    for name, values in grid.items():
        row = [escape(name)]
        for (value, whole), top, level in zip(values, best, data.levels, strict=True):
            if value is None:
                row.append(_missing(data, name, level))
                continue
            shown = text.percent(value) + ("" if whole else " ‡")
            row.append(f"**{shown}**" if whole and value == top else shown)
        body.append(row)
    header = ["Method", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "l" + "r" * len(data.levels))


def _mean(data: Data, name: str, level: float) -> tuple[float | None, bool]:
    """The mean over the sound benchmarks that have this series, and whether all of them do.

    None where one of them has the level out of reach.
    """
    values = data.retained(name, level).values()
    mean = data.mean_retained(values)
    known = mean == mean and _missing(data, name, level) != cells.word(cells.UNREACHED)
    return (mean if known else None), len(values) == len(data.sound())


def _missing(data: Data, name: str, level: float) -> str:
    """Why there is no number: out of reach, failed, void, or not a level of this method."""
    rows = data.one_shot
    rows = rows[(rows["series"] == name) & (rows["sparsity"] == level)]
    if rows.empty:
        return text.MISSING
    if (rows["status"] == "unreachable").any():
        return cells.word(cells.UNREACHED)
    return cells.word(cells.FAILED if (rows["status"] == "failed").all() else cells.VOID)


def winners(data: Data) -> Md:
    """The best one-shot series of each benchmark and level, and how many it is not surely above."""
    body = []
    for cell in data.benchmarks:
        names = [escape(cell[0]), escape(data.task_title(cell[1]))]
        body.append(names + [_winner(data, cell, level) for level in data.levels])
    header = ["Model", "Task", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "ll" + "l" * len(data.levels))


def _winner(data: Data, cell: tuple[str, str], level: float) -> str:
    if cell not in data.cells():
        return cells.word(cells.FAILED)
    if cell in data.void:
        return cells.word(cells.VOID)
    found = {name: data.find(*cell, name, level) for name in data.entrants}
    kept = {name: row["retained"] for name, row in found.items() if row is not None}
    kept = {name: value for name, value in kept.items() if not text.is_missing(value)}
    if not kept or max(kept.values()) <= 0:
        if kept:
            return "none above chance"
        scored = any(row is not None for row in found.values())
        return cells.word(cells.VOID if scored else cells.FAILED)
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
    if level_with:
        return f"{shown}, {text.count(level_with)} alike"
    return f"**{shown}**" if len(rivals) else shown  # alone, it is above none


_WIDE = 6  # benchmarks: with more of them each is a row in place of a column


def methods_by_level(data: Data) -> Md:
    """What each benchmark retains under each series, level by level, with its interval."""
    asked = data.benchmarks
    if len(asked) > _WIDE:
        return _methods_by_benchmark(data)
    body = []
    for level in data.levels:
        body.append([f"**{text.level(level)}**", *[""] * len(asked)])
        for name in [*data.entrants, *data.trained]:
            if _was_run(data, name, level):
                shown = [cells.retained(data, cell, name, level, _retained) for cell in asked]
                body.append([escape(name), *shown])
    header = ["Level, method", *(cells.name(data, cell) for cell in asked)]
    return text.table(header, body, "l" + "r" * len(asked))


def _methods_by_benchmark(data: Data) -> Md:
    """The same with a row for each benchmark and series, and a column a level."""
    body = []
    for cell in data.benchmarks:
        body.append([f"**{cells.name(data, cell)}**", *[""] * len(data.levels)])
        for name in [*data.entrants, *data.trained]:
            shown = [cells.retained(data, cell, name, level, _retained) for level in data.levels]
            if any(value != text.MISSING for value in shown):
                body.append([escape(name), *shown])
    header = ["Benchmark, method", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "l" + "r" * len(data.levels))


def _was_run(data: Data, name: str, level: float) -> bool:
    """Whether any benchmark was to have the series at that level."""
    rows = data.variants
    return bool(((rows["series"] == name) & (rows["sparsity"] == level)).any())


def _retained(row: pd.Series) -> str:
    low, high = (text.fixed(row[f"retained_{end}"]) for end in ("low", "high"))
    return f"{text.fixed(row['retained'])} ({low} to {high})"


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


def recovery(data: Data) -> Md:
    """What training wins back: retained before and after, the zeros after it, and the seconds."""
    body = []
    for cell in data.benchmarks:
        for level in data.levels:
            after = [cells.retained(data, cell, name, level, _retained) for name in data.trained]
            if all(shown == text.MISSING for shown in after):
                continue
            rows = [data.find(*cell, name, level) for name in data.trained]
            facts = data.variants.set_index("variant")
            facts = facts.loc[[row["variant"] for row in rows if row is not None]]
            before = data.before(data.trained[-1])
            body.append(
                [
                    cells.name(data, cell),
                    text.level(level),
                    cells.retained(data, cell, before, level, _value),
                    *after,
                    text.between(facts["achieved"], lambda share: text.percent(share, 2)),
                    text.between(facts["train_seconds"], lambda s: f"{s:.0f}"),
                ]
            )
    names = [name.split(", ")[-1] for name in data.trained]  # the method stands in the caption
    header = ["Benchmark", "Level", "One-shot", *map(escape, names), "Zeros after", "Seconds"]
    return text.table(header, body, "lrr" + "r" * (len(names) + 2))


def _value(row: pd.Series) -> str:
    return text.fixed(row["retained"])


def _signed(value: float) -> str:
    shown = text.fixed(value)
    return shown if shown.startswith("−") else f"+{shown}"


def allocation(data: Data) -> Md:
    """Sparsities by sensitivity against the same for all: difference, and what was allotted."""
    body = []
    uniform = "magnitude-layer"
    contest = data.contest(uniform + series.ALLOCATED, uniform)
    settings = data.variants.set_index("variant")["settings"]
    for _, row in contest.iterrows():
        shares = json.loads(settings[row["variant"]])["allocation"]
        cell = (row["model"], row["task"])
        if cell in data.void:
            continue
        pair = [
            cells.retained(data, cell, name, row["sparsity"], _value)
            for name in (uniform, row["series"])
        ]
        body.append(
            [
                cells.name(data, cell),
                text.level(row["sparsity"]),
                *pair,
                f"{_signed(row['difference'])} ({text.fixed(row['low'])} to"
                f" {text.fixed(row['high'])})",
                ", ".join(f"{escape(g)}: {text.percent(s, 0)}" for g, s in shares.items()),
            ]
        )
    header = ["Benchmark", "Level", "Uniform", "By sensitivity", "Difference", "Sparsities"]
    return text.table(header, body, "lrrrrl")
