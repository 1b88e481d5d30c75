"""What the results say about claims that compare methods."""

import itertools

import pandas as pd

from analysis.paper import series, text
from analysis.paper.data import Data
from analysis.paper.findings import Finding
from analysis.paper.text import escape

_FROM = 0.5  # levels from here on tell methods apart
_RECOVERED = 0.9
_RECOVERED_AT = 0.9
_DESTROYED = 0.5
_APART = 0.1  # of retained quality, beyond the intervals
_SAME = 0.005  # means that near each other are taken as equal


def _high_levels(data: Data) -> list[float]:
    return [level for level in data.levels if level >= _FROM]


def methods_in_order(data: Data) -> Finding:
    """Whether the means fall, or stay, in the order of what the methods know."""
    order = ["sparsegpt", "wanda", "magnitude", "random"]
    if not set(order) <= set(data.methods) or not _high_levels(data):
        return None, f"it takes {text.listing(order)} from {text.level(_FROM)} on"
    shown, broken = [], 0
    for level in _high_levels(data):
        means = [data.mean_retained(data.retained(name, level).values()) for name in order]
        broken += sum(a < b - _SAME for a, b in itertools.pairwise(means))
        shown.append(f"{text.level(level)}: {', '.join(text.percent(m) for m in means)}")
    return not broken, (
        f"mean retained of {', '.join(order)} at {'; '.join(shown)}; equal means within"
        f" {text.percent(_SAME)}"
    )


def _contest(data: Data, one: str, other: str, levels: list[float]) -> tuple[int, int, int]:
    """Where a series retains more, less, and in all, beyond the paired intervals."""
    table = data.contest(one, other)
    table = table[table["sparsity"].isin(levels)]
    return int((table["low"] > 0).sum()), int((table["high"] < 0).sum()), len(table)


def correction_helps(data: Data) -> Finding:
    one, other = "sparsegpt", data.methods[0]
    if one not in data.methods or one == other:
        return None, "it takes sparsegpt beside the leading method"
    better, worse, cells = _contest(data, one, other, _high_levels(data))
    return better > worse, (
        f"{one} against {escape(other)} from {text.level(_FROM)} on: better in {better}, worse in"
        f" {worse} of {cells} cells, beyond the paired intervals"
    )


def patterns_cost(data: Data) -> Finding:
    """Whether a pattern retains less than its method does where it may choose freely."""
    found: list[tuple[str, int, int, int]] = []
    for entrant in data.entrants:
        method, _, pattern = entrant.partition(" ")
        free = {"nm-magnitude": "magnitude-row"}.get(method, method.removeprefix("nm-"))
        if pattern and free in data.methods:
            levels = sorted(set(data.contest(entrant, free)["sparsity"]))
            better, worse, cells = _contest(data, entrant, free, levels)
            found.append((entrant, better, worse, cells))
    cells = sum(row[3] for row in found)
    if not cells:
        return None, "it takes a pattern, and its method at the same sparsity"
    better, worse = sum(row[1] for row in found), sum(row[2] for row in found)
    shown = "; ".join(f"{escape(n)} worse in {w} of {c}" for n, _, w, c in found if c)
    return worse > better, (
        f"against the same method without a pattern, beyond the paired intervals: {shown}; better"
        f" in {better} of all {cells}"
    )


def structure_costs(data: Data) -> Finding:
    one, other = "structured", data.methods[0]
    better, worse, cells = _contest(data, one, other, data.levels)
    if not cells:
        return None, f"it takes {one} beside the leading method"
    return worse > better, (
        f"{one} against {escape(other)}: better in {better}, worse in {worse} of {cells} cells,"
        " beyond the paired intervals"
    )


def training_recovers(data: Data) -> Finding:
    """Whether every classifier that was fine-tuned at the level is back at nine tenths."""
    rows = data.scores[
        data.scores["series"].isin([name for name in data.trained if "fine-tuned" in name])
        & (data.scores["sparsity"] == _RECOVERED_AT)
        & data.scores["task"].map(lambda task: data.primary[task] in ("accuracy", "f1"))
    ]
    if rows.empty:
        return None, f"no classifier was fine-tuned at {text.level(_RECOVERED_AT)}"
    shown = "; ".join(
        f"{escape(row['model'])} on {escape(data.task_title(row['task']))} from"
        f" {text.fixed(_before(data, row))} to {text.fixed(row['retained'])}"
        for _, row in rows.iterrows()
    )
    return bool((rows["retained"] >= _RECOVERED).all()), f"retained: {shown}"


def _before(data: Data, row: pd.Series) -> float:
    name = data.before(row["series"])
    return float(data.at(row["model"], row["task"], name, row["sparsity"])["retained"])


def masks_needed(data: Data) -> Finding:
    """Whether training without masks leaves less than half of the zeros."""
    table = data["recovery"]
    free = table[~table["masks_kept"].astype(bool)]
    if free.empty:
        return None, "no training without masks was shown"
    last = free.sort_values("epoch").iloc[-1]
    kept = table[table["masks_kept"].astype(bool)]
    left = last["zeros"] / last["removed"]
    return bool(left < _DESTROYED), (
        f"of {text.count(last['removed'])} weights that were removed, {text.count(last['zeros'])}"
        f" ({text.percent(left)}) are still zero after training without masks; with masks"
        f" {text.percent((kept['zeros'] / kept['removed']).min(), 0)} of them, in"
        f" {kept['variant'].nunique()} trainings"
    )


def distillation_helps(data: Data) -> Finding:
    pairs = [(n, n.replace("distilled", "fine-tuned")) for n in data.trained if "distilled" in n]
    pairs = [(one, other) for one, other in pairs if other in data.trained]
    if not pairs:
        return None, "it takes both ways of training"
    better, worse, cells = _contest(data, *pairs[0], data.levels)
    return better > worse, (
        f"distilled against fine-tuned: better in {better}, worse in {worse} of {cells} cells,"
        " beyond the paired intervals"
    )


def layers_bear_differently(data: Data) -> Finding:
    """Whether in each model and task one group, pruned alone, costs clearly more than another."""
    table = data["sensitivity"].dropna(subset=["retained"])  # a void task says nothing
    if table.empty:
        return None, "no layer was pruned alone"
    level = table["sparsity"].max()
    found, shown = [], []
    for (model, task), part in table[table["sparsity"] == level].groupby(
        ["model", "task"], sort=False
    ):
        part = part.sort_values("retained")
        worst, best = part.iloc[0], part.iloc[-1]
        found.append(best["retained_low"] - max(0.0, worst["retained_high"]) >= _APART)
        shown.append(
            f"{escape(model)} on {escape(data.task_title(task))}"
            f" {text.fixed(worst['retained'])} ({escape(worst['group'])}) to"
            f" {text.fixed(best['retained'])} ({escape(best['group'])})"
        )
    return all(found), (
        f"retained with one group pruned alone to {text.level(level)}: {'; '.join(shown)};"
        f" intervals {_APART} or more apart in {sum(found)} of {len(found)} benchmarks"
    )


def allocation_helps(data: Data) -> Finding:
    uniform = "magnitude-layer"
    better, worse, cells = _contest(data, uniform + series.ALLOCATED, uniform, data.levels)
    if not cells:
        return None, "no sparsities by sensitivity were tried"
    return better > worse, (
        f"against the same sparsity in every layer: better in {better}, worse in {worse} of {cells}"
        " cells, beyond the paired intervals"
    )
