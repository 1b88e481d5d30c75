"""Whether layers differ in what they bear, and whether that can be used."""

from analysis.paper import series, text
from analysis.paper.data import Data
from analysis.paper.text import escape
from analysis.paper.verdicts import (
    Finding,
    Verdict,
    all_of,
    at_levels,
    average_shown,
    by_benchmark,
    on_average,
    retained,
    somewhere,
    unchecked,
)


def layers_bear_differently(data: Data, *, retained_share: float) -> Finding:
    """Whether on each benchmark one group, pruned alone, keeps such a share and another not."""
    table = data.sensitivity.dropna(subset=["retained"])  # a void task says nothing
    table = table[table["sparsity"] == table["sparsity"].max()]
    groups = table.groupby(["model", "task"], sort=False)
    parts = {cell: part.sort_values("retained") for cell, part in groups if len(part) > 1}
    if not parts:
        return unchecked("no benchmark with two groups pruned alone")
    level = float(table["sparsity"].iloc[0])
    found, shown = [], []
    for (model, task), part in parts.items():
        above = [retained(row) - retained_share for _, row in part.iterrows()]
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
        f" on both sides of {text.number(retained_share)} in {found.count(Verdict.SUPPORTED)} of"
        f" {text.numbered(len(found), 'benchmark')}"
    )


def allocation_helps(data: Data) -> Finding:
    uniform = "magnitude-layer"
    rows = data.contest(uniform + series.ALLOCATED, uniform)
    found = by_benchmark(rows)
    if not found:
        return unchecked("no sparsities by sensitivity were tried")
    return on_average(found, data.alpha), (
        f"against the same sparsity in every layer {at_levels(rows)}:"
        f" {average_shown(found, data.alpha)}"
    )
