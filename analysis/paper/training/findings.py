"""Whether training brings quality back, and what it takes to keep the zeros."""

import pandas as pd

from analysis.paper import series, text
from analysis.paper.data import Data
from analysis.paper.quality.findings import LABELS
from analysis.paper.text import escape
from analysis.paper.verdicts import (
    Cell,
    Finding,
    at_levels,
    average_shown,
    by_benchmark,
    everywhere,
    exactly,
    on_average,
    retained,
    unchecked,
)


def training_recovers(data: Data, *, level: float, retained_share: float) -> Finding:
    """Whether every classifier that surely fell below a share is back at it after fine-tuning."""
    rows = data.scores[
        data.scores["series"].isin([name for name in data.trained if _is_tuned(data, name)])
        & (data.scores["sparsity"] == level)
        & data.scores["task"].map(lambda task: data.primary[task] in LABELS).astype(bool)
    ]
    rows = rows[rows["retained"].notna()]
    found = [(row, _before(data, row), retained(row)) for _, row in rows.iterrows()]
    fallen = [(*one, b, a) for *one, b, a in found if b is not None and b.high < retained_share]
    if not fallen:
        return unchecked(
            f"no classifier fine-tuned at {text.level(level)}, surely below"
            f" {text.number(retained_share)} before"
        )
    shown = "; ".join(
        f"{escape(row['model'])} on {escape(data.task_title(row['task']))} from"
        f" {text.fixed(before.value)} to {after.shown(2)}"
        for row, before, after in fallen
    )
    back = [after - retained_share for *_, after in fallen]
    return everywhere(back, data.alpha), f"retained at {text.level(level)}: {shown}"


def _is_tuned(data: Data, name: str) -> bool:
    """Whether it was fine-tuned after pruning; what trains by itself began with nothing."""
    return "fine-tuned" in name and series.untrained(name) in data.entrants


def _before(data: Data, row: pd.Series) -> Cell | None:
    """What the variant retained before training; None if that failed."""
    method = series.untrained(row["series"])
    found = data.find(row["model"], row["task"], method, row["sparsity"])
    return None if found is None else retained(found)


def masks_needed(data: Data, *, lost: float) -> Finding:
    """Whether training without masks destroys more than such a share of the zeros."""
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
    return everywhere([exactly(1 - left - lost)], data.alpha), (
        f"still zero after training without masks: {text.count(last['zeros'])} of"
        f" {text.count(last['removed'])} weights ({text.percent(left)}) removed from"
        f" {_trained_once(data, last)}{with_masks}"
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
        return unchecked("no levels trained both ways")
    return on_average(found, data.alpha), (
        f"distilled against fine-tuned {at_levels(rows)}: {average_shown(found, data.alpha)}"
    )
