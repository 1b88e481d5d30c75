"""Whether one way to choose weights keeps more than another."""

import itertools
from collections.abc import Sequence

import pandas as pd

from analysis.paper import text
from analysis.paper.cells import Cell as Benchmark
from analysis.paper.data import Data
from analysis.paper.text import escape
from analysis.paper.verdicts import (
    MARGIN,
    Cell,
    Finding,
    all_of,
    at_levels,
    average_shown,
    by_benchmark,
    everywhere,
    exactly,
    mean,
    on_average,
    retained,
    unchecked,
)


def scope_matters(data: Data) -> Finding:
    """Whether magnitude within its scope keeps more than over all weights, as many being removed.

    At the same level the two do not remove equally many. Where magnitude-all removes a share of the
    whole model, magnitude keeps no less than at its next level above that share and no more than at
    its next level below: that is its interval there, and what lies between its value.
    """
    found: dict[Benchmark, list[Cell]] = {}
    for cell in data.sound():
        spared = _by_share(data, cell, "magnitude")
        for share, kept in _by_share(data, cell, "magnitude-all"):
            between = _bracket(spared, share)
            if share > 0 and between is not None:
                found.setdefault(cell, []).append(between - kept)
    if not found:
        return unchecked("magnitude or magnitude-all lacking at comparable shares")
    benchmarks = [mean(cells) for cells in found.values()]
    return on_average(benchmarks, data.alpha), (
        "magnitude (between its levels) against magnitude-all, equally many removed:"
        f" {average_shown(benchmarks, data.alpha)}"
    )


def _by_share(data: Data, cell: Benchmark, name: str) -> list[tuple[float, Cell]]:
    """What a series retains by the share of the whole model that it removes, from none on."""
    removed = data.variants.set_index("variant")["whole_model"]
    rows = [data.find(*cell, name, level) for level in data.levels]
    found = [(0.0, exactly(1.0))]
    for row in rows:
        if row is not None and pd.notna(row["retained"]):
            found.append((float(removed[row["variant"]]), retained(row)))
    return sorted(found, key=lambda pair: pair[0])


def _bracket(curve: list[tuple[float, Cell]], share: float) -> Cell | None:
    """What a falling curve may be at a share; None beyond its last point."""
    for (a, before), (b, after) in itertools.pairwise(curve):
        if a < share <= b:
            part = (share - a) / (b - a)
            value = (1 - part) * before.value + part * after.value
            if share == b:
                return after
            return Cell(value, min(before.low, after.low), max(before.high, after.high))
    return None


def _compared(data: Data, one: str, other: str, from_level: float) -> list[Cell]:
    """How much more the one retains than the other, a cell a benchmark."""
    rows = data.contest(one, other)
    levels = [level for level in data.levels if level >= from_level]
    return by_benchmark(rows[rows["sparsity"].isin(levels)])


def methods_in_order(data: Data, *, order: Sequence[str], from_level: float) -> Finding:
    """Whether the means over benchmarks fall, or stay, from one method to the next."""
    compared = [(a, b, _compared(data, a, b, from_level)) for a, b in itertools.pairwise(order)]
    lacking = [f"{a} beside {b}" for a, b, cells in compared if not cells]
    if lacking:
        return unchecked(f"it takes {text.listing(lacking)} from {text.level(from_level)} on")
    shown = "; ".join(f"{a} against {b} {mean(cells).shown()}" for a, b, cells in compared)
    found = [on_average([cell - -MARGIN for cell in cells], data.alpha) for _, _, cells in compared]
    return all_of(found), (
        f"retained, mean over benchmarks from {text.level(from_level)} on: {shown}; a loss below"
        f" {text.percent(MARGIN, 0)} counts as none"
    )


def keeps_more(data: Data, *, method: str, than: str, from_level: float) -> Finding:
    """Whether one method keeps more than another on average over benchmarks."""
    found = _compared(data, method, than, from_level)
    names = escape(method), escape(than)
    if not found:
        return unchecked(f"it takes {' and '.join(names)} from {text.level(from_level)} on")
    return on_average(found, data.alpha), (
        f"{' against '.join(names)}, from {text.level(from_level)} on:"
        f" {average_shown(found, data.alpha)}"
    )


def inputs_cut_off(data: Data, *, from_level: float) -> Finding:
    """Whether Wanda leaves more inputs unread than magnitude does within the same rows."""
    table = data.one_shot[data.one_shot["sparsity"] >= from_level]
    table = table[table["series"].isin(["wanda", "magnitude-row"])]
    table = table.assign(task=table["task"].fillna(""))
    found = table.pivot_table(
        index=["model", "task", "sparsity"], columns="series", values="unheard_inputs"
    ).dropna()  # of models that have both
    if found.shape[1] < 2 or found.empty:
        return unchecked(f"it takes wanda and magnitude-row from {text.level(from_level)} on")
    found = found.groupby("sparsity").mean()
    shown = "; ".join(
        f"{text.percent(row['wanda'])} against {text.percent(row['magnitude-row'])} at"
        f" {text.level(float(level))}"
        for level, row in found.iterrows()
    )
    more = [exactly(float(x)) for x in found["wanda"] - found["magnitude-row"]]
    return everywhere(more, data.alpha), (
        f"unread inputs (mean over matrices and models) under wanda against magnitude-row: {shown}"
    )


def patterns_cost(data: Data) -> Finding:
    """Whether patterns retain less than the same choice within whole rows or blocks."""
    parts, pairs = [], []
    for entrant in data.entrants:
        method, _, pattern = entrant.partition(" ")
        free = _FREE.get(method)
        if pattern and free:
            parts.append(data.contest(entrant, free))
            pairs.append(f"{method} against {free}")
    rows = pd.concat(parts) if parts else data.contests[:0]
    found = by_benchmark(rows)
    if not found:
        return unchecked("no pattern and its method at one sparsity")
    return on_average([-cell for cell in found], data.alpha), (
        f"{', '.join(dict.fromkeys(pairs))} {at_levels(rows)}: {average_shown(found, data.alpha)}"
    )


# what a pattern is held against: the same saliency, chosen within rows or blocks of columns
_FREE = {"nm-magnitude": "magnitude-row", "nm-wanda": "wanda", "nm-sparsegpt": "sparsegpt"}


def structure_costs(data: Data) -> Finding:
    one, other = "structured", data.leading
    rows = data.contest(one, other)
    found = by_benchmark(rows)
    if not found:
        return unchecked(f"no {one} beside the leading method at one sparsity")
    return on_average([-cell for cell in found], data.alpha), (
        f"{one} against {escape(other)} {at_levels(rows)}: {average_shown(found, data.alpha)}"
    )
