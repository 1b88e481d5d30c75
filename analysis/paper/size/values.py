"""What files take, as in a sentence."""

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data


def stored_share(data: Data) -> str:
    """The sparse file at the highest level, as a share of the dense file, over models."""
    return _size(data, "auto", "ratio")


def compressed_share(data: Data) -> str:
    """The dense file, compressed, at the highest level, as a share of it, over models."""
    return _size(data, "dense+zstd", "ratio")


def bound_share(data: Data) -> str:
    """The entropy bound at the highest level, as a share of the dense file, over models."""
    found = []
    for part in map(data.sizes_of, data.models):
        part = part[part["format"] == "dense"]
        whole = part.loc[part["sparsity"] == 0, "bytes"]
        top = part.loc[part["sparsity"] == max(data.levels, default=0.0), "bound_bytes"]
        if len(whole) and len(top):
            found.append(top.iloc[0] / whole.iloc[0])
    return text.between(found, text.percent)


def never_in_scope(data: Data) -> str:
    """What was never in scope, as a share of the weights that are left at the highest level."""
    facts, found = data.variants.set_index("variant"), []
    for model in data.models:
        task = data.first_task(model)
        top = max(data.levels, default=0.0)
        row = None if task is None else data.find(model, task, data.leading, top)
        if row is not None:
            own = facts.loc[row["variant"]]
            left = own["parameters"] * (1 - own["whole_model"])
            found += [(own["parameters"] - own["scope_weights"]) / left] if left else []
    return text.between(found, lambda share: text.percent(share, 0))


def _size(data: Data, name: str, column: str) -> str:
    rows = pd.concat([data.sizes_of(model) for model in data.models])
    highest = max(data.levels, default=0.0)
    chosen = rows[(rows["format"] == name) & (rows["sparsity"] == highest)]
    return text.between(chosen[column], text.percent)
