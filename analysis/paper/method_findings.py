"""What the results say about claims that compare methods."""

import itertools

import pandas as pd

from analysis.paper import series, text
from analysis.paper.contests import contest
from analysis.paper.data import Data
from analysis.paper.findings import LABELS, Finding
from analysis.paper.text import escape

_FROM = 0.5  # levels from here on tell methods apart
_RECOVERED = 0.9
_RECOVERED_AT = 0.9
_DESTROYED = 0.5
_APART = 0.1  # of retained quality, beyond the intervals
_LITTLE = 0.9  # retaining as much with one group pruned is to be pruned for little
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
        kept = [data.retained(name, level) for name in order]
        whole = set(data.sound()).intersection(*kept)
        if not whole:
            continue
        means = [data.mean_retained(own[cell] for cell in whole) for own in kept]
        broken += sum(a < b - _SAME for a, b in itertools.pairwise(means))
        shown.append(f"{text.level(level)}: {', '.join(text.percent(m) for m in means)}")
    if not shown:
        return None, "no benchmark that is not void was scored under all four methods"
    return not broken, (
        f"mean retained of {', '.join(order)} at {'; '.join(shown)}; equal means within"
        f" {text.percent(_SAME)}"
    )


def _at(rows: pd.DataFrame, levels: list[float]) -> pd.DataFrame:
    return rows[rows["sparsity"].isin(levels)]


def inputs_help(data: Data) -> Finding:
    """Wanda against magnitude by row: the same comparison group, without the inputs."""
    found = contest(_at(data.contest("wanda", "magnitude-row"), _high_levels(data)))
    if found is None:
        return None, f"it takes wanda and magnitude-row from {text.level(_FROM)} on"
    return found.low > 0, f"wanda against magnitude-row, from {text.level(_FROM)} on: {found.shown}"


def inputs_cut_off(data: Data) -> Finding:
    """Whether Wanda leaves more inputs unread than magnitude does within the same rows."""
    table = data.one_shot[data.one_shot["sparsity"] >= _RECOVERED_AT]
    table = table[table["series"].isin(["wanda", "magnitude-row"])]
    found = table.pivot_table(index="sparsity", columns="series", values="unheard_inputs")
    found = found.dropna()
    if found.shape[1] < 2 or found.empty:
        return None, f"it takes wanda and magnitude-row from {text.level(_RECOVERED_AT)} on"
    shown = "; ".join(
        f"{text.level(float(level))}: {text.percent(row['wanda'])} against"
        f" {text.percent(row['magnitude-row'])}"
        for level, row in found.iterrows()
    )
    return bool((found["wanda"] > found["magnitude-row"]).all()), (
        f"inputs of a matrix that no weight reads, mean over matrices, {shown}"
    )


def correction_helps(data: Data) -> Finding:
    """SparseGPT against Wanda: both look at the inputs, one also corrects what stays."""
    found = contest(_at(data.contest("sparsegpt", "wanda"), _high_levels(data)))
    if found is None:
        return None, f"it takes sparsegpt and wanda from {text.level(_FROM)} on"
    return found.low > 0, f"sparsegpt against wanda, from {text.level(_FROM)} on: {found.shown}"


def patterns_cost(data: Data) -> Finding:
    """Whether patterns retain less than the same choice within whole rows or blocks."""
    parts = []
    for entrant in data.entrants:
        method, _, pattern = entrant.partition(" ")
        free = _FREE.get(method)
        if pattern and free:
            parts.append(data.contest(entrant, free))
    found = contest(pd.concat(parts)) if parts else None
    if found is None:
        return None, "it takes a pattern, and its method at the same sparsity"
    return found.high < 0, (
        f"nm-magnitude against magnitude-row, nm-wanda against wanda, nm-sparsegpt against"
        f" sparsegpt, as far as they were run: {found.shown}"
    )


# what a pattern is held against: the same saliency, chosen within rows or blocks of columns
_FREE = {"nm-magnitude": "magnitude-row", "nm-wanda": "wanda", "nm-sparsegpt": "sparsegpt"}


def structure_costs(data: Data) -> Finding:
    one, other = "structured", data.leading
    found = contest(data.contest(one, other))
    if found is None:
        return None, f"it takes {one} beside the leading method"
    return found.high < 0, f"{one} against {escape(other)}: {found.shown}"


def training_recovers(data: Data) -> Finding:
    """Whether every classifier that fell below nine tenths is back there after fine-tuning."""
    rows = data.scores[
        data.scores["series"].isin([name for name in data.trained if _is_tuned(data, name)])
        & (data.scores["sparsity"] == _RECOVERED_AT)
        & data.scores["task"].map(lambda task: data.primary[task] in LABELS).astype(bool)
    ]
    rows = rows[rows["retained"].notna()]
    began = [_before(data, row) for _, row in rows.iterrows()]
    fallen = rows[[before is not None and before < _RECOVERED for before in began]]
    if fallen.empty:
        return None, f"no classifier that had fallen was fine-tuned at {text.level(_RECOVERED_AT)}"
    shown = "; ".join(
        f"{escape(row['model'])} on {escape(data.task_title(row['task']))} from"
        f" {text.fixed(_before(data, row))} to {text.fixed(row['retained'])}"
        f" ({text.fixed(row['retained_low'])} to {text.fixed(row['retained_high'])})"
        for _, row in fallen.iterrows()
    )
    return bool((fallen["retained"] >= _RECOVERED).all()), f"retained: {shown}"


def _is_tuned(data: Data, name: str) -> bool:
    """Whether it was fine-tuned after pruning; what trains by itself began with nothing."""
    return "fine-tuned" in name and series.untrained(name) in data.entrants


def _before(data: Data, row: pd.Series) -> float | None:
    """What the variant retained before training; None if that failed."""
    method = series.untrained(row["series"])
    found = data.find(row["model"], row["task"], method, row["sparsity"])
    return None if found is None else float(found["retained"])


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
    found = contest(data.contest(*pairs[0]))
    if found is None:
        return None, "it takes both ways of training at the same levels"
    return found.low > 0, f"distilled against fine-tuned: {found.shown}"


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
        apart = best["retained_low"] - max(0.0, worst["retained_high"]) >= _APART
        found.append(apart and best["retained"] >= _LITTLE)
        shown.append(
            f"{escape(model)} on {escape(data.task_title(task))}"
            f" {text.fixed(worst['retained'])} ({escape(worst['group'])}) to"
            f" {text.fixed(best['retained'])} ({escape(best['group'])})"
        )
    return all(found), (
        f"retained with one group pruned alone to {text.level(level)}: {'; '.join(shown)};"
        f" intervals {_APART} or more apart, the best at {_LITTLE} or more, in {sum(found)} of"
        f" {len(found)} benchmarks"
    )


def allocation_helps(data: Data) -> Finding:
    uniform = "magnitude-layer"
    found = contest(data.contest(uniform + series.ALLOCATED, uniform))
    if found is None:
        return None, "no sparsities by sensitivity were tried"
    return found.low > 0, f"against the same sparsity in every layer: {found.shown}"
