"""What files take, as in a sentence."""

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.sourced import Sourced, sourced


def stored_share(data: Data) -> Sourced:
    """The sparse file at the highest level, as a share of the dense file, over models."""
    return _size(data, "auto", "ratio")


def compressed_share(data: Data) -> Sourced:
    """The dense file, compressed, at the highest level, as a share of it, over models."""
    return _size(data, "dense+zstd", "ratio")


def bound_share(data: Data) -> Sourced:
    """The entropy bound at the highest level, as a share of the dense file, over models."""
    found, rows = [], []
    for part in map(data.sizes_of, data.models):
        part = part[part["format"] == "dense"]
        whole = part[part["sparsity"] == 0]
        top = part[part["sparsity"] == max(data.levels, default=0.0)]
        if len(whole) and len(top):
            found.append(top["bound_bytes"].iloc[0] / whole["bytes"].iloc[0])
            rows += [top.iloc[0], whole.iloc[0]]
    return sourced(text.between(found, text.percent), "size", rows)


def never_in_scope(data: Data) -> Sourced:
    """What was never in scope, as a share of the weights that are left at the highest level."""
    facts, found, rows = data.variants.set_index("variant", drop=False), [], []
    for model in data.models:
        task = data.first_task(model)
        top = max(data.levels, default=0.0)
        row = None if task is None else data.find(model, task, data.leading, top)
        if row is not None:
            own = facts.loc[row["variant"]]
            left = own["parameters"] * (1 - own["whole_model"])
            found += [(own["parameters"] - own["scope_weights"]) / left] if left else []
            rows += [own] if left else []
    return sourced(text.between(found, lambda share: text.percent(share, 0)), "variants", rows)


def _size(data: Data, name: str, column: str) -> Sourced:
    rows = pd.concat([data.sizes_of(model) for model in data.models])
    highest = max(data.levels, default=0.0)
    chosen = rows[(rows["format"] == name) & (rows["sparsity"] == highest)]
    return sourced(text.between(chosen[column], text.percent), "size", chosen)
