"""What the results say about each claim: one function a claim, from results to a finding."""

import itertools

import pandas as pd

from analysis.paper import text, weights
from analysis.paper.cells import Cell as Benchmark
from analysis.paper.cells import phrase
from analysis.paper.data import Data
from analysis.paper.text import escape
from analysis.paper.verdicts import (
    MARGIN,
    Cell,
    Finding,
    Verdict,
    average_shown,
    everywhere,
    exactly,
    holds,
    mean,
    on_average,
    retained,
    somewhere,
    unchecked,
)

_APART = 0.1  # retained quality that far apart counts as different
_WIDER = 1.25  # a spread, or a variance, at least this many times larger counts as larger
_CLIFF = (0.5, 0.9)
_HALF = 0.5
_HIGH = 0.9  # levels from here on count as high sparsity
LABELS = ("accuracy", "f1", "combined")  # metrics of classifiers
_NOTHING = "no benchmark of the leading method is sound and whole"


def _kept(data: Data, level: float) -> dict[Benchmark, Cell]:
    """What the sound benchmarks retain at a level under the leading method."""
    rows = {cell: data.find(*cell, data.leading, level) for cell in data.sound()}
    return {
        cell: retained(row)
        for cell, row in rows.items()
        if row is not None and pd.notna(row["retained"])
    }


def cliff(data: Data) -> Finding:
    """Whether half of the quality or more is lost in the interval, and nowhere more a point."""
    low, high = _CLIFF
    if not {low, high} <= set(data.levels) or max(data.levels) <= high:
        return unchecked(f"it takes levels {text.level(low)}, {text.level(high)} and a higher one")
    curves = {level: _kept(data, level) for level in data.levels}
    whole = [cell for cell in data.sound() if all(cell in own for own in curves.values())]
    if not whole:
        return unchecked(_NOTHING)
    found, lost, there, elsewhere = [], [], [], []
    for cell in whole:
        curve = {0.0: exactly(1.0)} | {level: own[cell] for level, own in curves.items()}
        steps = {
            (a, b): (curve[a] - curve[b]) / (100 * (b - a)) for a, b in itertools.pairwise(curve)
        }
        inside = [step for (a, b), step in steps.items() if low <= a and b <= high]
        outside = [step for (a, b), step in steps.items() if b <= low or high <= a]
        steepest = _steepest(inside)
        found.append([curve[low] - curve[high] - _HALF, *(steepest - step for step in outside)])
        lost.append((curve[low] - curve[high]).value)
        there.append(steepest.value)
        elsewhere.append(max(step.value for step in outside))
    verdicts = [everywhere(own, data.alpha) for own in found]
    return everywhere([one for own in found for one in own], data.alpha), (
        f"{text.between(lost, text.percent)} of the dense quality is lost there,"
        f" {text.between(there, _a_point)} a point of sparsity; elsewhere at most"
        f" {text.between(elsewhere, _a_point)}; surely a cliff"
        f" there in {verdicts.count(Verdict.SUPPORTED)}, surely none in"
        f" {verdicts.count(Verdict.CONTRADICTED)} of {text.numbered(len(whole), 'benchmark')}"
    )


def _steepest(steps: list[Cell]) -> Cell:
    return Cell(max(s.value for s in steps), max(s.low for s in steps), max(s.high for s in steps))


def _a_point(fall: float) -> str:
    return text.percent(max(0.0, fall), 2)


def threshold_differs(data: Data) -> Finding:
    """Whether two tasks of one model retain different parts at one level."""
    gaps: list[tuple[Cell, str, float, Benchmark, Benchmark]] = []
    for level in data.levels:
        kept = _kept(data, level)
        for (one, a), (other, b) in itertools.permutations(kept.items(), 2):
            if one[0] == other[0]:
                gaps.append((a - b - _APART, one[0], level, one, other))
    if not gaps:
        return unchecked("it takes a model with two tasks, neither of them void or failed")
    _, _, level, best, worst = max(gaps, key=lambda found: (found[0].low, found[0].value))
    kept = _kept(data, level)
    models = {model for _, model, *_ in gaps}
    tests = len({gap for gap, *_ in gaps})
    apart = {model for found, model, *_ in gaps if found.side(data.alpha, tests) > 0}
    return somewhere([found for found, *_ in gaps], data.alpha), (
        f"retained is surely {_APART} or more apart in {len(apart)} of"
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


def small_is_not_useless(data: Data) -> Finding:
    """Whether some benchmark loses by weights below a threshold alone, the smaller half."""
    level = _HALF
    if level not in data.levels:
        return unchecked(f"it takes level {text.level(level)}")
    kept = _kept(data, level)
    if not kept:
        return unchecked(_NOTHING)
    found = [data.at(*cell, data.leading, level)["threshold"] for cell in kept]
    if any(pd.isna(threshold) for threshold in found):
        return unchecked("the leading method does not remove what lies below one threshold")
    lost = [exactly(1 - MARGIN) - own for own in kept.values()]
    return somewhere(lost, data.alpha), (
        f"at {text.level(level)}, all that was removed lies below"
        f" {text.between(found, lambda t: text.number(t, 2))}; retained {_range_of(kept)}; a loss"
        f" of {text.percent(MARGIN, 0)} or more counts:"
        f" {_split(lost, data, 'hurt', 'not hurt')}"
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
        return unchecked(
            "it takes magnitude and magnitude-all at levels that remove comparable shares of the"
            " whole model"
        )
    benchmarks = [mean(cells) for cells in found.values()]
    return on_average(benchmarks, data.alpha), (
        "magnitude against magnitude-all at equal shares of the whole model removed, magnitude"
        f" taken from its levels on either side: {average_shown(benchmarks, data.alpha)}"
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


def layers_differ(data: Data) -> Finding:
    """By the distance between the quartiles, which scales with the model as a whole."""
    scopes = data["profile_scopes"]
    blocks = scopes[scopes["scope"].str.startswith("layer:")]
    spread = (blocks["q75"] - blocks["q25"]).astype(float)
    blocks = blocks.assign(spread=spread)[spread > 0]  # of a block that is half zeros it is none
    found = blocks.groupby("model", sort=False)["spread"].agg(["min", "max", "size"])
    found = found[found["size"] > 1]
    if found.empty:
        return unchecked("no model has two profiled blocks that are not mostly zeros")
    ratio = found["max"] / found["min"]
    shown = "; ".join(f"{escape(model)} {text.times(own)}" for model, own in ratio.items())
    return everywhere([holds(own >= _WIDER) for own in ratio], data.alpha), (
        "distance between the quartiles of a block's weights, the widest block against the"
        f" narrowest: {shown}; a quarter more is {text.times(_WIDER)}"
    )


def differs_with_depth(data: Data) -> Finding:
    """Whether every stack that is deep enough to tell shows the trend."""
    found = weights.trends(data)
    tested = [trend for trend in found if trend.grows is not None]
    if not tested:
        return unchecked("no stack has the four blocks that it takes to show a trend")
    shown = "; ".join(
        f"{escape(t.model)}, {t.part}: Kendall's tau {text.number(t.tau)}, p ="
        f" {text.number(t.p, 2)} that it grows, {text.number(t.p_falls, 2)} that it falls,"
        f" {t.blocks} blocks"
        for t in tested
    )
    left = len(found) - len(tested)
    short = f"; {text.numbered(left, 'stack')} too short to tell" if left else ""
    return everywhere(tested, data.alpha), f"{shown}{short}"


def kinds_differ_more(data: Data) -> Finding:
    """Whether kinds vary more than blocks, by a margin, in every stack that is deep enough."""
    found = [(model, *row) for model in data.models for row in weights.variances(data, model)]
    if not found:
        return unchecked("no stack has four blocks and two kinds of matrices")
    shown = "; ".join(
        f"{escape(model)}, {part}: {text.number(kinds)} between kinds, {text.number(blocks)}"
        " between blocks"
        for model, part, kinds, blocks in found
    )
    cells = [_larger(kinds, blocks) for _, _, kinds, blocks in found]
    return everywhere(cells, data.alpha), (
        f"variance of the logarithm of the standard deviation: {shown}; less than"
        f" {text.times(_WIDER)} apart decides nothing"
    )


def _larger(one: float, other: float) -> Cell:
    """Whether one is larger, and not the other, by the margin; what is less apart tells nothing."""
    if one >= _WIDER * other or other >= _WIDER * one:
        return holds(one > other)
    return Cell(0.0, -1.0, 1.0)


def one_answer(data: Data) -> Finding:
    """Whether the leading method has led some classifier there; a classifier counts once."""
    leading = data.scores["series"] == data.leading
    high = data.scores[leading & (data.scores["sparsity"] >= _HIGH)]
    high = high[high["task"].map(lambda t: data.primary[t] in LABELS).astype(bool)]
    if high.empty:
        return unchecked(f"no classifier from {text.level(_HIGH)} on")
    collapsed = high.groupby(["model", "task"])["collapsed"].any()
    levels = text.listing(
        [text.level(x) for x in sorted(high.loc[high["collapsed"], "sparsity"].unique())]
    )
    at = f" (at {levels})" if collapsed.any() else ""
    return somewhere([holds(bool(found)) for found in collapsed], data.alpha), (
        f"under the leading method {int(collapsed.sum())} of"
        f" {text.numbered(len(collapsed), 'classifier')} from {text.level(_HIGH)} on"
        f" {'gives' if collapsed.sum() == 1 else 'give'} one answer to at least 99 % of the"
        f" examples{at}"
    )
