"""Where quality falls, and what that says of small weights and of scores."""

import itertools

import pandas as pd

from analysis.paper import text
from analysis.paper.cells import Cell as Benchmark
from analysis.paper.cells import phrase
from analysis.paper.data import Data
from analysis.paper.verdicts import (
    MARGIN,
    Cell,
    Finding,
    Verdict,
    everywhere,
    exactly,
    holds,
    retained,
    somewhere,
    unchecked,
)

LABELS = ("accuracy", "f1", "combined")  # metrics of classifiers
_NOTHING = "no whole benchmark under the leading method"


def _kept(data: Data, level: float) -> dict[Benchmark, Cell]:
    """What the sound benchmarks retain at a level under the leading method."""
    rows = {cell: data.find(*cell, data.leading, level) for cell in data.sound()}
    return {
        cell: retained(row)
        for cell, row in rows.items()
        if row is not None and pd.notna(row["retained"])
    }


def cliff(data: Data, *, between: tuple[float, float], lost: float) -> Finding:
    """Whether such a share of quality is lost between two levels, and nowhere more a point."""
    low, high = between
    if not {low, high} <= set(data.levels) or max(data.levels) <= high:
        return unchecked(f"it takes levels {text.level(low)}, {text.level(high)} and a higher one")
    curves = {level: _kept(data, level) for level in data.levels}
    whole = [cell for cell in data.sound() if all(cell in own for own in curves.values())]
    if not whole:
        return unchecked(_NOTHING)
    found, falls, there, elsewhere = [], [], [], []
    for cell in whole:
        curve = {0.0: exactly(1.0)} | {level: own[cell] for level, own in curves.items()}
        steps = {
            (a, b): (curve[a] - curve[b]) / (100 * (b - a)) for a, b in itertools.pairwise(curve)
        }
        inside = [step for (a, b), step in steps.items() if low <= a and b <= high]
        outside = [step for (a, b), step in steps.items() if b <= low or high <= a]
        steepest = _steepest(inside)
        found.append([curve[low] - curve[high] - lost, *(steepest - step for step in outside)])
        falls.append((curve[low] - curve[high]).value)
        there.append(steepest.value)
        elsewhere.append(max(step.value for step in outside))
    verdicts = [everywhere(own, data.alpha) for own in found]
    return everywhere([one for own in found for one in own], data.alpha), (
        f"lost there {text.between(falls, text.percent)} of quality,"
        f" {text.between(there, _a_point)} a point of sparsity; elsewhere at most"
        f" {text.between(elsewhere, _a_point)}; surely a cliff"
        f" there in {verdicts.count(Verdict.SUPPORTED)}; surely none in"
        f" {verdicts.count(Verdict.CONTRADICTED)} of {text.numbered(len(whole), 'benchmark')}"
    )


def _steepest(steps: list[Cell]) -> Cell:
    return Cell(max(s.value for s in steps), max(s.low for s in steps), max(s.high for s in steps))


def _a_point(fall: float) -> str:
    return text.percent(max(0.0, fall), 2)


def threshold_differs(data: Data, *, apart: float) -> Finding:
    """Whether two tasks of one model retain parts that far apart at one level."""
    gaps: list[tuple[Cell, str, float, Benchmark, Benchmark]] = []
    for level in data.levels:
        kept = _kept(data, level)
        for (one, a), (other, b) in itertools.permutations(kept.items(), 2):
            if one[0] == other[0]:
                gaps.append((a - b - apart, one[0], level, one, other))
    if not gaps:
        return unchecked("no model with two sound tasks")
    _, _, level, best, worst = max(gaps, key=lambda found: (found[0].low, found[0].value))
    kept = _kept(data, level)
    models = {model for _, model, *_ in gaps}
    tests = len({gap for gap, *_ in gaps})
    surely = {model for found, model, *_ in gaps if found.side(data.alpha, tests) > 0}
    return somewhere([found for found, *_ in gaps], data.alpha), (
        f"retained surely {text.number(apart)} or more apart in {len(surely)} of"
        f" {text.numbered(len(models), 'model')}; farthest at {text.level(level)}:"
        f" {phrase(data, best)} {kept[best].shown(2)}, {phrase(data, worst)}"
        f" {kept[worst].shown(2)}"
    )


def lowest_level_is_free(data: Data) -> Finding:
    """Whether every benchmark is as good as dense."""
    level = data.levels[0] if data.levels else 0.0
    kept = _kept(data, level)
    if not kept:
        return unchecked(_NOTHING)
    above = [own - (1 - MARGIN) for own in kept.values()]
    return everywhere(above, data.alpha), (
        f"at {text.level(level)}, retained {_range_of(kept)}; a loss of less than"
        f" {text.percent(MARGIN, 0)} counts as none:"
        f" {_split(above, data, 'free', 'not free')}"
    )


def _range_of(kept: dict[Benchmark, Cell]) -> str:
    """The values, and how far their intervals reach."""
    cells = kept.values()
    ends = text.fixed(min(c.low for c in cells)), text.fixed(max(c.high for c in cells))
    shown = text.between([c.value for c in cells], text.fixed)
    return f"{shown} (intervals from {ends[0]} to {ends[1]})"


def _split(cells: list[Cell], data: Data, yes: str, no: str) -> str:
    """How many benchmarks are surely so, and how many surely not."""
    sides = [cell.side(data.alpha, len(set(cells))) for cell in cells]
    return (
        f"surely {yes} in {sides.count(1)}, surely {no} in {sides.count(-1)} of"
        f" {text.numbered(len(cells), 'benchmark')}"
    )


def small_is_not_useless(data: Data, *, level: float) -> Finding:
    """Whether some benchmark loses by weights below a threshold alone, at a level."""
    if level not in data.levels:
        return unchecked(f"it takes level {text.level(level)}")
    kept = _kept(data, level)
    if not kept:
        return unchecked(_NOTHING)
    found = [data.at(*cell, data.leading, level)["threshold"] for cell in kept]
    if any(pd.isna(threshold) for threshold in found):
        return unchecked("the leading method goes by no single threshold")
    lost = [exactly(1 - MARGIN) - own for own in kept.values()]
    return somewhere(lost, data.alpha), (
        f"at {text.level(level)}, all that was removed lies below"
        f" {text.between(found, lambda t: text.number(t, 2))}; retained {_range_of(kept)}; a loss"
        f" of {text.percent(MARGIN, 0)} or more counts:"
        f" {_split(lost, data, 'hurt', 'not hurt')}"
    )


def one_answer(data: Data, *, from_level: float) -> Finding:
    """Whether the leading method has led some classifier there; a classifier counts once."""
    leading = data.scores["series"] == data.leading
    high = data.scores[leading & (data.scores["sparsity"] >= from_level)]
    high = high[high["task"].map(lambda t: data.primary[t] in LABELS).astype(bool)]
    if high.empty:
        return unchecked(f"no classifier from {text.level(from_level)} on")
    collapsed = high.groupby(["model", "task"])["collapsed"].any()
    levels = text.listing(
        [text.level(x) for x in sorted(high.loc[high["collapsed"], "sparsity"].unique())]
    )
    at = f" (at {levels})" if collapsed.any() else ""
    return somewhere([holds(bool(found)) for found in collapsed], data.alpha), (
        f"one answer to 99 % of examples or more: {int(collapsed.sum())} of"
        f" {text.numbered(len(collapsed), 'classifier')} under the leading method from"
        f" {text.level(from_level)} on{at}"
    )
