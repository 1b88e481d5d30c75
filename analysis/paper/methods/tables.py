"""Tables that set methods against each other."""

from analysis.paper import cells, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


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
                shown = [cells.retained(data, cell, name, level, cells.ranged) for cell in asked]
                body.append([escape(name), *shown])
    header = ["Level, method", *(cells.name(data, cell) for cell in asked)]
    return text.table(header, body, "l" + "r" * len(asked))


def _methods_by_benchmark(data: Data) -> Md:
    """The same with a row for each benchmark and series, and a column a level."""
    body = []
    for cell in data.benchmarks:
        body.append([f"**{cells.name(data, cell)}**", *[""] * len(data.levels)])
        for name in [*data.entrants, *data.trained]:
            shown = [cells.retained(data, cell, name, level, cells.ranged) for level in data.levels]
            if any(value != text.MISSING for value in shown):
                body.append([escape(name), *shown])
    header = ["Benchmark, method", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "l" + "r" * len(data.levels))


def _was_run(data: Data, name: str, level: float) -> bool:
    """Whether any benchmark was to have the series at that level."""
    rows = data.variants
    return bool(((rows["series"] == name) & (rows["sparsity"] == level)).any())
