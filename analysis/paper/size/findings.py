"""Whether zeros save bytes, by which format."""

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.verdicts import Finding, everywhere, holds, unchecked


def dense_bytes(data: Data, *, within: float = 0.001) -> Finding:
    """Of the models whose weights were zeroed; those that are smaller in shape are none.

    A file may differ by a share: its header has a few bytes more or less.
    """
    variants = data["variants"]
    zeroed = variants[variants["kind"].isin(["dense", "pruned"])]
    zeroed = zeroed[~zeroed["settings"].str.contains('"kept"', regex=False)]
    sizes = data["size"]
    chosen = (sizes["format"] == "dense") & sizes["variant"].isin(zeroed["variant"])
    ratios = sizes.loc[chosen, "ratio"]
    if not zeroed.loc[zeroed["variant"].isin(sizes["variant"][chosen]), "kind"].eq("pruned").any():
        return unchecked("no dense file of a pruned model was written")
    shown = text.between(ratios, lambda r: text.percent(r, 2))
    same = ratios.sub(1).abs() <= within
    return everywhere([holds(found) for found in same], data.alpha), (
        f"{text.numbered(len(ratios), 'file')}, {shown} of the dense model's bytes; as large means"
        f" within {text.percent(within)}"
    )


def zstd_finds_zeros(data: Data, *, from_level: float, share: float) -> Finding:
    """Whether every file is at most such a share of the dense one."""
    rows = _files(data, "dense+zstd", from_level)
    if rows.empty:
        return unchecked(f"no file compressed by zstd from {text.level(from_level)} on")
    bounds = rows["bytes"] / rows["bound_bytes"]
    return everywhere([holds(ratio <= share) for ratio in rows["ratio"]], data.alpha), (
        f"from {text.level(from_level)} on, {text.between(rows['ratio'], text.percent)} of the"
        f" dense file; {text.between(bounds, text.times)} the entropy bound"
    )


def sparse_files_shrink(data: Data, *, from_level: float, over_bound: float) -> Finding:
    """Whether every file is smaller than dense, and from a level on so little over the bound."""
    rows = _files(data, "auto", 0.0)
    rows = rows[rows["sparsity"] > 0]
    high = rows[rows["sparsity"] >= from_level]
    if high.empty:
        return unchecked(f"no sparse file was written from {text.level(from_level)} on")
    bounds = high["bytes"] / high["bound_bytes"]
    found = [*(ratio < 1 for ratio in rows["ratio"]), *(x <= 1 + over_bound for x in bounds)]
    return everywhere([holds(one) for one in found], data.alpha), (
        f"from {text.level(rows['sparsity'].min())} on, {text.between(rows['ratio'], text.percent)}"
        f" of the dense file; from {text.level(from_level)} on,"
        f" {text.between(bounds, _thousandths)} the entropy bound, at most"
        f" {_thousandths(1 + over_bound)} claimed"
    )


def _thousandths(ratio: float) -> str:
    return f"{text.fixed(ratio, 3)}\u00a0×"


def _files(data: Data, name: str, least: float) -> pd.DataFrame:
    rows = pd.concat([data.sizes_of(model) for model in data.models])
    return rows[(rows["format"] == name) & (rows["sparsity"] >= least)]
