"""Whether zeros save bytes, by which format."""

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.verdicts import Finding, everywhere, holds, unchecked

_HIGH = 0.9
_SAME_BYTES = 0.001  # files within 0.1 % are as large: a header may differ by a few bytes
_HALVED = 0.5
_NEAR_BOUND = 1.125
_MIDDLE = 0.5


def dense_bytes(data: Data) -> Finding:
    """Of the models whose weights were zeroed; those that are smaller in shape are none."""
    variants = data["variants"]
    zeroed = variants[variants["kind"].isin(["dense", "pruned"])]
    zeroed = zeroed[~zeroed["settings"].str.contains('"kept"', regex=False)]
    sizes = data["size"]
    chosen = (sizes["format"] == "dense") & sizes["variant"].isin(zeroed["variant"])
    ratios = sizes.loc[chosen, "ratio"]
    if not zeroed.loc[zeroed["variant"].isin(sizes["variant"][chosen]), "kind"].eq("pruned").any():
        return unchecked("no dense file of a pruned model was written")
    shown = text.between(ratios, lambda r: text.percent(r, 2))
    same = ratios.sub(1).abs() <= _SAME_BYTES
    return everywhere([holds(found) for found in same], data.alpha), (
        f"{text.numbered(len(ratios), 'file')}, {shown} of the dense model's bytes; as large means"
        f" within {text.percent(_SAME_BYTES)}"
    )


def zstd_finds_zeros(data: Data) -> Finding:
    rows = _files(data, "dense+zstd", _HIGH)
    if rows.empty:
        return unchecked(f"no file compressed by zstd from {text.level(_HIGH)} on")
    bounds = rows["bytes"] / rows["bound_bytes"]
    return everywhere([holds(ratio <= _HALVED) for ratio in rows["ratio"]], data.alpha), (
        f"from {text.level(_HIGH)} on, {text.between(rows['ratio'], text.percent)} of the dense"
        f" file, {text.between(bounds, text.times)} the entropy bound"
    )


def sparse_files_shrink(data: Data) -> Finding:
    """Whether every file is smaller than dense, and from the middle on near the bound."""
    rows = _files(data, "auto", 0.0)
    rows = rows[rows["sparsity"] > 0]
    high = rows[rows["sparsity"] >= _MIDDLE]
    if high.empty:
        return unchecked(f"no sparse file was written from {text.level(_MIDDLE)} on")
    bounds = high["bytes"] / high["bound_bytes"]
    found = [*(ratio < 1 for ratio in rows["ratio"]), *(x <= _NEAR_BOUND for x in bounds)]
    return everywhere([holds(one) for one in found], data.alpha), (
        f"from {text.level(rows['sparsity'].min())} on, {text.between(rows['ratio'], text.percent)}"
        f" of the dense file; from {text.level(_MIDDLE)} on, {text.between(bounds, _thousandths)}"
        f" the entropy bound, where an eighth more is {_thousandths(_NEAR_BOUND)}"
    )


def _thousandths(ratio: float) -> str:
    return f"{text.fixed(ratio, 3)}\u00a0×"


def _files(data: Data, name: str, least: float) -> pd.DataFrame:
    rows = pd.concat([data.sizes_of(model) for model in data.models])
    return rows[(rows["format"] == name) & (rows["sparsity"] >= least)]
