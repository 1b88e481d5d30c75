"""What the results say about claims that compare methods."""

import itertools

import pandas as pd

from analysis.paper import series, text
from analysis.paper.data import Data
from analysis.paper.findings import LABELS
from analysis.paper.text import escape
from analysis.paper.verdicts import (
    MARGIN,
    Cell,
    Finding,
    Verdict,
    all_of,
    average_shown,
    by_benchmark,
    everywhere,
    exactly,
    mean,
    on_average,
    retained,
    somewhere,
    unchecked,
)

_FROM = 0.5  # levels from here on tell methods apart
_NINE_TENTHS = 0.9  # of the dense quality
_HIGH = 0.9  # the level at which training is asked to recover, and inputs are counted from
_DESTROYED = 0.5


def _high_levels(data: Data) -> list[float]:
    return [level for level in data.levels if level >= _FROM]


def _compared(data: Data, one: str, other: str) -> list[Cell]:
    """How much more the one retains than the other from the middle on, a cell a benchmark."""
    rows = data.contest(one, other)
    return by_benchmark(rows[rows["sparsity"].isin(_high_levels(data))])


def methods_in_order(data: Data) -> Finding:
    """Whether the means fall, or stay, in the order of what the methods know."""
    order = ["sparsegpt", "wanda", "magnitude", "random"]
    compared = [(a, b, _compared(data, a, b)) for a, b in itertools.pairwise(order)]
    lacking = [f"{a} beside {b}" for a, b, cells in compared if not cells]
    if lacking:
        return unchecked(f"it takes {text.listing(lacking)} from {text.level(_FROM)} on")
    shown = "; ".join(f"{a} against {b} {mean(cells).shown()}" for a, b, cells in compared)
    found = [on_average([cell - -MARGIN for cell in cells], data.alpha) for _, _, cells in compared]
    return all_of(found), (
        f"retained, mean over benchmarks from {text.level(_FROM)} on: {shown}; a loss of less than"
        f" {text.percent(MARGIN, 0)} counts as none"
    )


def _levels(rows: pd.DataFrame) -> str:
    """The levels at which there are contests: "at 50 % and 90 %"."""
    found = rows.dropna(subset=["difference", "low", "high"])["sparsity"].unique()
    return f"at {text.listing([text.level(float(level)) for level in sorted(found)])}"


def _keeps_more(data: Data, one: str, other: str) -> Finding:
    """Whether the one keeps more than the other from the middle on."""
    found = _compared(data, one, other)
    if not found:
        return unchecked(f"it takes {one} and {other} from {text.level(_FROM)} on")
    return on_average(found, data.alpha), (
        f"{one} against {other}, from {text.level(_FROM)} on: {average_shown(found, data.alpha)}"
    )


def inputs_help(data: Data) -> Finding:
    """Wanda against magnitude by row: the same comparison group, without the inputs."""
    return _keeps_more(data, "wanda", "magnitude-row")


def correction_helps(data: Data) -> Finding:
    """SparseGPT against Wanda: both look at the inputs, one also corrects what stays."""
    return _keeps_more(data, "sparsegpt", "wanda")


def inputs_cut_off(data: Data) -> Finding:
    """Whether Wanda leaves more inputs unread than magnitude does within the same rows."""
    table = data.one_shot[data.one_shot["sparsity"] >= _HIGH]
    table = table[table["series"].isin(["wanda", "magnitude-row"])]
    table = table.assign(task=table["task"].fillna(""))
    found = table.pivot_table(
        index=["model", "task", "sparsity"], columns="series", values="unheard_inputs"
    ).dropna()  # of models that have both
    if found.shape[1] < 2 or found.empty:
        return unchecked(f"it takes wanda and magnitude-row from {text.level(_HIGH)} on")
    found = found.groupby("sparsity").mean()
    shown = "; ".join(
        f"{text.level(float(level))}: {text.percent(row['wanda'])} against"
        f" {text.percent(row['magnitude-row'])}"
        for level, row in found.iterrows()
    )
    more = [exactly(float(x)) for x in found["wanda"] - found["magnitude-row"]]
    return everywhere(more, data.alpha), (
        f"inputs of a matrix that no weight reads, mean over matrices and models, {shown}"
    )


def patterns_cost(data: Data) -> Finding:
    """Whether patterns retain less than the same choice within whole rows or blocks."""
    parts = []
    for entrant in data.entrants:
        method, _, pattern = entrant.partition(" ")
        free = _FREE.get(method)
        if pattern and free:
            parts.append(data.contest(entrant, free))
    rows = pd.concat(parts) if parts else data.contests[:0]
    found = by_benchmark(rows)
    if not found:
        return unchecked("it takes a pattern, and its method at the same sparsity")
    return on_average([-cell for cell in found], data.alpha), (
        f"nm-magnitude against magnitude-row, nm-wanda against wanda, nm-sparsegpt against"
        f" sparsegpt, as far as they were run, {_levels(rows)}: {average_shown(found, data.alpha)}"
    )


# what a pattern is held against: the same saliency, chosen within rows or blocks of columns
_FREE = {"nm-magnitude": "magnitude-row", "nm-wanda": "wanda", "nm-sparsegpt": "sparsegpt"}


def structure_costs(data: Data) -> Finding:
    one, other = "structured", data.leading
    rows = data.contest(one, other)
    found = by_benchmark(rows)
    if not found:
        return unchecked(f"it takes {one} beside the leading method at the same sparsity")
    return on_average([-cell for cell in found], data.alpha), (
        f"{one} against {escape(other)} {_levels(rows)}: {average_shown(found, data.alpha)}"
    )


def training_recovers(data: Data) -> Finding:
    """Whether every classifier that surely fell below nine tenths is back after fine-tuning."""
    rows = data.scores[
        data.scores["series"].isin([name for name in data.trained if _is_tuned(data, name)])
        & (data.scores["sparsity"] == _HIGH)
        & data.scores["task"].map(lambda task: data.primary[task] in LABELS).astype(bool)
    ]
    rows = rows[rows["retained"].notna()]
    found = [(row, _before(data, row), retained(row)) for _, row in rows.iterrows()]
    fallen = [(*one, b, a) for *one, b, a in found if b is not None and b.high < _NINE_TENTHS]
    if not fallen:
        return unchecked(
            f"no classifier that had surely fallen below nine tenths was fine-tuned at"
            f" {text.level(_HIGH)}"
        )
    shown = "; ".join(
        f"{escape(row['model'])} on {escape(data.task_title(row['task']))} from"
        f" {text.fixed(before.value)} to {after.shown(2)}"
        for row, before, after in fallen
    )
    back = [after - _NINE_TENTHS for *_, after in fallen]
    return everywhere(back, data.alpha), f"retained at {text.level(_HIGH)}: {shown}"


def _is_tuned(data: Data, name: str) -> bool:
    """Whether it was fine-tuned after pruning; what trains by itself began with nothing."""
    return "fine-tuned" in name and series.untrained(name) in data.entrants


def _before(data: Data, row: pd.Series) -> Cell | None:
    """What the variant retained before training; None if that failed."""
    method = series.untrained(row["series"])
    found = data.find(row["model"], row["task"], method, row["sparsity"])
    return None if found is None else retained(found)


def masks_needed(data: Data) -> Finding:
    """Whether training without masks leaves less than half of the zeros."""
    table = data["recovery"]
    free = table[~table["masks_kept"].astype(bool)]
    if free.empty:
        return unchecked("no training without masks was shown")
    last = free.sort_values("epoch").iloc[-1]
    kept = table[table["masks_kept"].astype(bool)]
    left = last["zeros"] / last["removed"]
    with_masks = (
        f"; with masks {text.percent((kept['zeros'] / kept['removed']).min(), 0)} of them, in"
        f" {text.numbered(kept['variant'].nunique(), 'training')}"
        if len(kept)
        else ""
    )
    return everywhere([exactly(_DESTROYED - left)], data.alpha), (
        f"of {text.count(last['removed'])} weights that were removed from"
        f" {_trained_once(data, last)}, {text.count(last['zeros'])} ({text.percent(left)}) are"
        f" still zero after training without masks{with_masks}"
    )


def _trained_once(data: Data, row: pd.Series) -> str:
    """The variant whose training is shown: "tiny-bert at 90 %"."""
    own = data.variants[data.variants["variant"] == row["variant"]].iloc[0]
    return f"{escape(own['model'])} at {text.level(own['sparsity'])}"


def distillation_helps(data: Data) -> Finding:
    names = [(n, n.replace("distilled", "fine-tuned")) for n in data.trained if "distilled" in n]
    rows = pd.concat([data.contests[:0], *(data.contest(*pair) for pair in names)])
    found = by_benchmark(rows)
    if not found:
        return unchecked("it takes both ways of training at the same levels")
    return on_average(found, data.alpha), (
        f"distilled against fine-tuned {_levels(rows)}: {average_shown(found, data.alpha)}"
    )


def layers_bear_differently(data: Data) -> Finding:
    """Whether in each model and task one group, pruned alone, keeps nine tenths and another not."""
    table = data.sensitivity.dropna(subset=["retained"])  # a void task says nothing
    table = table[table["sparsity"] == table["sparsity"].max()]
    groups = table.groupby(["model", "task"], sort=False)
    parts = {cell: part.sort_values("retained") for cell, part in groups if len(part) > 1}
    if not parts:
        return unchecked("no benchmark had two layers, or kinds of matrices, pruned alone")
    level = float(table["sparsity"].iloc[0])
    found, shown = [], []
    for (model, task), part in parts.items():
        above = [retained(row) - _NINE_TENTHS for _, row in part.iterrows()]
        found.append(
            all_of([somewhere(above, data.alpha), somewhere([-x for x in above], data.alpha)])
        )
        least, most = part.iloc[0], part.iloc[-1]
        shown.append(
            f"{escape(model)} on {escape(data.task_title(task))}"
            f" {retained(least).shown(2)} ({escape(least['group'])}) to"
            f" {retained(most).shown(2)} ({escape(most['group'])})"
        )
    return all_of(found), (
        f"retained with one group pruned alone to {text.level(level)}: {'; '.join(shown)}; surely"
        f" on both sides of {_NINE_TENTHS} in {found.count(Verdict.SUPPORTED)} of"
        f" {text.numbered(len(found), 'benchmark')}"
    )


def allocation_helps(data: Data) -> Finding:
    uniform = "magnitude-layer"
    rows = data.contest(uniform + series.ALLOCATED, uniform)
    found = by_benchmark(rows)
    if not found:
        return unchecked("no sparsities by sensitivity were tried")
    return on_average(found, data.alpha), (
        f"against the same sparsity in every layer {_levels(rows)}:"
        f" {average_shown(found, data.alpha)}"
    )
