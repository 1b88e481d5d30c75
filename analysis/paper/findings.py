"""What the results say about each claim: one function a claim, from results to a finding."""

import pandas as pd

from analysis.paper import text, weights
from analysis.paper.cells import Cell, phrase
from analysis.paper.contests import contest
from analysis.paper.data import Data
from analysis.paper.text import escape

# whether the claim holds (None: this study cannot tell), and the numbers, as safe Markdown
Finding = tuple[bool | None, str]

_APART = 0.1  # retained quality that far apart, beyond the intervals, counts as different
_MARGIN = 1.25  # a variance at least this many times larger counts as larger
_CLIFF = (0.5, 0.9)
_HALF = 0.5
_HIGH = 0.9  # levels from here on count as high sparsity
LABELS = ("accuracy", "f1", "combined")  # metrics of classifiers
_NOTHING = "no benchmark of the leading method is sound and whole"


def _scored(data: Data, level: float) -> pd.DataFrame:
    """The scores of every sound benchmark at a level, under the leading method."""
    rows = [data.find(*cell, data.leading, level) for cell in data.sound()]
    return pd.DataFrame([row for row in rows if row is not None and pd.notna(row["retained"])])


def _falls(data: Data) -> pd.DataFrame:
    """The fall of retained quality at each level from the level before, a row a (model, task).

    Below chance there is nothing left to fall.
    """
    kept = {level: data.retained(data.leading, level) for level in data.levels}
    levels = pd.DataFrame({level: pd.Series(own, dtype=float) for level, own in kept.items()})
    levels = levels.dropna().clip(lower=0)  # a benchmark with a hole tells of no fall
    levels.insert(0, 0.0, 1.0)
    return -levels.diff(axis=1).iloc[:, 1:]


def cliff(data: Data) -> Finding:
    """Whether half of the quality or more, the largest of all falls, is lost in the interval."""
    if not set(_CLIFF) <= set(data.levels):
        return None, f"levels {text.level(_CLIFF[0])} and {text.level(_CLIFF[1])} were not run"
    falls = _falls(data)
    if falls.empty:
        return None, _NOTHING
    between = falls[[level for level in data.levels if _CLIFF[0] < level <= _CLIFF[1]]].sum(axis=1)
    elsewhere = falls[[level for level in data.levels if level <= _CLIFF[0] or level > _CLIFF[1]]]
    cliff = (between >= _HALF) & (between > elsewhere.max(axis=1))
    return bool(cliff.all()), (
        f"{text.between(between, text.number)} of the dense model's quality is lost there: half or"
        f" more, and the largest fall of all, in {int(cliff.sum())} of {len(falls)} benchmarks"
    )


def threshold_differs(data: Data) -> Finding:
    """Whether two tasks of one model retain different parts at one level, beyond intervals."""
    found = []
    for model in data.models:
        cells = [cell for cell in data.sound() if cell[0] == model]
        gaps = [_gap(data, cells, level) for level in data.levels]
        known = [gap for gap in gaps if gap is not None]
        found += [max(known, key=lambda gap: gap[0])] if known else []
    if not found:
        return None, "it takes a model with two tasks, neither of them void or failed"
    apart = [gap for gap in found if gap[0] >= _APART]
    _, level, best, worst = max(found, key=lambda gap: gap[0])
    shown = [
        f"{phrase(data, cell)} retains {text.number(row['retained'], 2)}"
        f" ({text.number(row['retained_low'], 2)} to {text.number(row['retained_high'], 2)})"
        for cell in (best, worst)
        for row in [data.at(*cell, data.leading, level)]
    ]
    return bool(apart), (
        f"intervals lie {_APART} or more apart in {len(apart)} of {len(found)} models; farthest at"
        f" {text.level(level)}: {shown[0]}, {shown[1]}"
    )


def _gap(data: Data, cells: list[Cell], level: float) -> tuple[float, float, Cell, Cell] | None:
    """How far the intervals of the best and the worst kept benchmark lie apart at a level.

    None if fewer than two were scored there.
    """
    found = {cell: data.find(*cell, data.leading, level) for cell in cells}
    rows = {c: row for c, row in found.items() if row is not None and pd.notna(row["retained"])}
    if len(rows) < 2:
        return None
    best = max(rows, key=lambda cell: rows[cell]["retained"])
    worst = min(rows, key=lambda cell: rows[cell]["retained"])
    gap = rows[best]["retained_low"] - max(0.0, rows[worst]["retained_high"])
    return (gap if pd.notna(gap) else 0.0), level, best, worst


def lowest_level_is_free(data: Data) -> Finding:
    level = data.levels[0] if data.levels else 0.0
    rows = _scored(data, level)
    if rows.empty:
        return None, _NOTHING
    free = rows["retained_high"] >= 1
    return bool(free.all()), (
        f"at {text.level(level)}, {int(free.sum())} of {len(rows)} benchmarks are not worse than"
        f" dense beyond their interval; retained {text.between(rows['retained'], text.number)}"
    )


def small_is_not_useless(data: Data) -> Finding:
    level = min(data.levels, key=lambda x: abs(x - _CLIFF[0]), default=0.0)
    rows = _scored(data, level)
    if rows.empty:
        return None, _NOTHING
    if rows["threshold"].isna().any():
        return None, "the leading method does not remove what lies below one threshold"
    hurt = rows["retained_high"] < 1
    return bool(hurt.any()), (
        f"at {text.level(level)}, all that was removed lies below"
        f" {text.between(rows['threshold'], lambda t: text.number(t, 2))}, yet {int(hurt.sum())} of"
        f" {len(rows)} benchmarks are worse than dense beyond their interval"
    )


def scope_matters(data: Data) -> Finding:
    one, other = "magnitude", "magnitude-all"
    found = contest(data.contest(one, other))
    if found is None:
        return None, "it takes magnitude beside magnitude-all"
    return found.low > 0, f"{one} against {other}, over all levels: {found.shown}"


def layers_differ(data: Data) -> Finding:
    scopes = data["profile_scopes"]
    layers = scopes[scopes["scope"].str.startswith("layer:")]
    if layers.empty:
        return None, "no model's blocks were profiled"
    spread = layers.groupby("model", sort=False)["below_1e-1"].agg(["min", "max"])
    ratio = spread["max"] / spread["min"]
    shown = "; ".join(
        f"{escape(model)} {text.percent(row['min'])} to {text.percent(row['max'])}"
        for model, row in spread.iterrows()
    )
    return bool((ratio >= 1.25).all()), f"share of a block's weights below 0.1: {shown}"


def differs_with_depth(data: Data) -> Finding:
    """Whether every stack that is deep enough to tell shows the trend."""
    found = weights.trends(data)
    tested = [trend for trend in found if trend.grows is not None]
    if not tested:
        return None, "no stack has the four blocks that it takes to show a trend"
    shown = "; ".join(
        f"{escape(t.model)}, {t.part}: Kendall's tau {text.number(t.tau)}, p ="
        f" {text.number(t.p, 2)}, {t.blocks} blocks"
        for t in tested
    )
    left = len(found) - len(tested)
    short = f"; {text.counted(left, 'stack')} too short to tell" if left else ""
    return all(t.grows for t in tested), f"{shown}{short}"


def kinds_differ_more(data: Data) -> Finding:
    """Whether kinds vary more than blocks, by a margin, in every stack that is deep enough."""
    found = [(model, *row) for model in data.models for row in weights.variances(data, model)]
    if not found:
        return None, "no stack has four blocks and two kinds of matrices"
    shown = "; ".join(
        f"{escape(model)}, {part}: {text.number(kinds)} between kinds, {text.number(blocks)}"
        " between blocks"
        for model, part, kinds, blocks in found
    )
    return all(kinds >= _MARGIN * blocks for _, _, kinds, blocks in found), (
        f"variance of the logarithm of the standard deviation: {shown}; more means"
        f" {text.times(_MARGIN)} or more"
    )


def one_answer(data: Data) -> Finding:
    """Whether the leading method has led some classifier there."""
    leading = data.scores["series"] == data.leading
    high = data.scores[leading & (data.scores["sparsity"] >= _HIGH)]
    high = high[high["task"].map(lambda t: data.primary[t] in LABELS).astype(bool)]
    if high.empty:
        return None, f"no classifier from {text.level(_HIGH)} on"
    collapsed = high[high["collapsed"]]
    return bool(len(collapsed)), (
        f"under the leading method {len(collapsed)} of {len(high)} classifiers from"
        f" {text.level(_HIGH)} on give one answer to at least 99 % of the examples"
    )
