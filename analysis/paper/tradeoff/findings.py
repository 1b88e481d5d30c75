"""Whether an alternative to pruning keeps more."""

import pandas as pd

from analysis.paper import series, text
from analysis.paper.data import Data
from analysis.paper.text import escape
from analysis.paper.tradeoff import measures
from analysis.paper.verdicts import MARGIN, Cell, Finding, everywhere, unchecked


def eight_bits_win(data: Data) -> Finding:
    """Against every model that was pruned in one shot: neither was trained."""
    return _beats(data, "int8", ("one-shot", "N:M", "structured"))


def student_wins(data: Data) -> Finding:
    """Against every pruned model, trained or not."""
    return _beats(data, "student", ("one-shot", "N:M", "structured", "trained"))


def _beats(data: Data, kind: str, groups: tuple[str, ...]) -> Finding:
    """Whether an alternative keeps more, paired, than each model of these groups with a file as
    small."""
    stored = measures.stored(data).set_index("variant")
    others = stored.index[stored["group"].isin(groups)]
    met = data.contests[data.contests["variant"].isin(stored.index[stored["group"] == kind])]
    met = met[met["other"].isin(others)].dropna(subset=["difference", "low", "high"])
    sizes = stored["bytes"]
    met = met[met["other"].map(sizes).to_numpy() <= met["variant"].map(sizes).to_numpy()]
    if met.empty:
        return unchecked(f"no {kind} scored beside pruned files as small")
    shown = []
    for (model, task), rows in met.groupby(["model", "task"], sort=False):
        row = rows.loc[rows["difference"].idxmin()]
        rival = stored.loc[row["other"]]
        shown.append(
            f"{escape(model)} on {escape(data.task_title(task))}"
            f" {Cell(row['difference'], row['low'], row['high']).shown()} more than"
            f" {escape(rival['series'])} at {text.level(rival['sparsity'])}"
        )
    cells = [Cell(*ends) for ends in met[["difference", "low", "high"]].itertuples(index=False)]
    return everywhere(cells, data.alpha), (
        f"retained, against {text.count(len(cells))} pruned files as small; the closest:"
        f" {'; '.join(shown)}"
    )


def experts_near_oracle(data: Data) -> Finding:
    """Whether no oracle's choice keeps more than the learned router's by the margin, paired."""
    routed = data.scores.loc[data.scores["kind"] == "moe", "series"]
    names = [name for name in dict.fromkeys(routed) if not name.endswith(series.ORACLE)]
    found = [data.contest(name, name + series.ORACLE) for name in names]
    rows = pd.concat(found).dropna(subset=["low", "high"]) if found else pd.DataFrame()
    if rows.empty:
        return unchecked("no sound model cut into experts")
    ends = rows[["difference", "low", "high"]].itertuples(index=False)
    near = [Cell(*own) - -MARGIN for own in ends]
    sides = [cell.side(data.alpha, len(set(near))) for cell in near]
    return everywhere(near, data.alpha), (
        "retained, router less oracle:"
        f" {text.between(rows['difference'], lambda x: text.fixed(x, 3))}; surely"
        f" at most {text.percent(MARGIN, 0)} less in {sides.count(1)}; surely more in"
        f" {sides.count(-1)} of {text.numbered(len(near), 'choice')}, of"
        f" {text.numbered(rows['model'].nunique(), 'model')}"
    )
