"""Whether weights differ by layer, with depth and by kind."""

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.profile import measures
from analysis.paper.text import escape
from analysis.paper.verdicts import Cell, Finding, everywhere, holds, unchecked

_WIDER = 1.25  # a spread, or a variance, at least this many times larger counts as larger


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
    found = measures.trends(data)
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
    found = [(model, *row) for model in data.models for row in measures.variances(data, model)]
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
