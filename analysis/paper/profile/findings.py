"""Whether weights differ by layer, with depth and by kind."""

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.profile import measures
from analysis.paper.text import escape
from analysis.paper.verdicts import Cell, Finding, everywhere, holds, unchecked


def layers_differ(data: Data, *, times_wider: float) -> Finding:
    """By the distance between the quartiles, which scales with the model as a whole."""
    scopes = data["profile_scopes"]
    blocks = scopes[scopes["scope"].str.startswith("layer:")]
    spread = (blocks["q75"] - blocks["q25"]).astype(float)
    blocks = blocks.assign(spread=spread)[spread > 0]  # of a block that is half zeros it is none
    found = blocks.groupby("model", sort=False)["spread"].agg(["min", "max", "size"])
    found = found[found["size"] > 1]
    if found.empty:
        return unchecked("no model with two blocks not mostly zeros")
    ratio = found["max"] / found["min"]
    shown = "; ".join(f"{escape(model)} {text.times(own)}" for model, own in ratio.items())
    return everywhere([holds(own >= times_wider) for own in ratio], data.alpha), (
        f"distance between the quartiles, widest block against narrowest: {shown}; wider means"
        f" {text.times(times_wider)}"
    )


def differs_with_depth(data: Data, *, blocks: int) -> Finding:
    """Whether every stack of so many blocks shows the trend."""
    found = measures.trends(data)
    tested = [trend for trend in found if trend.blocks >= blocks]
    if not tested:
        return unchecked(f"no stack has {text.numbered(blocks, 'block')}")
    shown = "; ".join(
        f"{escape(t.model)}, {t.part}: Kendall's tau {text.number(t.tau)} over {t.blocks} blocks (p"
        f" of a rise {text.number(t.p, 2)}, of a fall {text.number(t.p_falls, 2)})"
        for t in tested
    )
    left = len(found) - len(tested)
    short = f"; {text.numbered(left, 'stack')} too short to tell" if left else ""
    return everywhere(tested, data.alpha), f"{shown}{short}"


def kinds_differ_more(data: Data, *, blocks: int, margin: float = 1.25) -> Finding:
    """Whether kinds vary more than blocks in every stack of so many.

    Variances that lie less than `margin` times apart tell nothing.
    """
    stacks = [(model, measures.variances(data, model, blocks)) for model in data.models]
    found = [(model, *row) for model, rows in stacks for row in rows]
    if not found:
        return unchecked(f"no stack has {text.numbered(blocks, 'block')} and two kinds of matrices")
    shown = "; ".join(
        f"{escape(model)}, {part}: {text.number(of_kinds)} between kinds, {text.number(of_blocks)}"
        " between blocks"
        for model, part, of_kinds, of_blocks in found
    )
    cells = [_larger(one, other, margin) for _, _, one, other in found]
    return everywhere(cells, data.alpha), (
        f"variance of the logarithm of the standard deviation: {shown}; less than"
        f" {text.times(margin)} apart tells nothing"
    )


def _larger(one: float, other: float, margin: float) -> Cell:
    """Whether one is larger, and not the other, by the margin; what is less apart tells nothing."""
    if one >= margin * other or other >= margin * one:
        return holds(one > other)
    return Cell(0.0, -1.0, 1.0)
