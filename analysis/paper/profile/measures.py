"""What the profile's tables say: how much is far from zero, which layers differ, with depth."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from analysis.checkpoints.naming import PARTS, PRUNABLE_KINDS
from analysis.paper.data import Data

# definitions of "far from zero" in use, and the share of weights that each counts
FAR_FROM_ZERO = {
    "not exactly zero": lambda row: 1 - row["zeros"] / row["parameters"],
    "at least 0.001": lambda row: 1 - row["below_1e-3"],
    "at least 0.01": lambda row: 1 - row["below_1e-2"],
    "at least 0.1": lambda row: 1 - row["below_1e-1"],
    "beyond its layer's standard deviation": lambda row: row["above_std"],
    "needed for 99 % of the norm": lambda row: row["norm_99"],
    "needed for 90 % of the norm": lambda row: row["norm_90"],
    "needed for 50 % of the norm": lambda row: row["norm_50"],
}
SPARSE_ALREADY = 0.05  # exact zeros from this share on are no accident
ENOUGH_BLOCKS = 4  # of three, even the best order has p = 1/6
_SIGNIFICANT = 0.05


def of_scope(data: Data, table: str, model: str, scope: str) -> pd.DataFrame:
    """A table's rows for one scope of a model's pretrained weights."""
    rows = data[table]
    variants = data["variants"]
    own = variants.loc[(variants["model"] == model) & (variants["kind"] == "dense"), "variant"]
    profiled = rows[rows["variant"].isin(own) & (rows["scope"] == scope)]
    first = profiled["variant"].iloc[:1]  # fine-tuned copies have histograms too
    return profiled[profiled["variant"].isin(first)]


def stacks(data: Data) -> list[tuple[str, str, list[int]]]:
    """(model, part, its layers) for every stack of blocks."""
    found: dict[tuple[str, str], list[int]] = {}
    for _, row in data["profile_scopes"].iterrows():
        match = re.fullmatch(r"layer:(\w+):(\d+)", row["scope"])
        if match:
            found.setdefault((row["model"], match[1]), []).append(int(match[2]))
    in_order = sorted(found, key=lambda key: (data.models.index(key[0]), PARTS.index(key[1])))
    return [(model, part, sorted(found[model, part])) for model, part in in_order]


def layers(data: Data, model: str) -> pd.DataFrame:
    """Table `profile_scopes` for a model's blocks."""
    rows = data["profile_scopes"]
    return rows[(rows["model"] == model) & rows["scope"].str.startswith("layer:")]


def distances(data: Data, model: str, part: str) -> list[float]:
    """Kolmogorov-Smirnov distances between |w| of each block and of the model, by depth."""
    rows = layers(data, model)
    rows = rows[rows["part"] == part].sort_values("layer")
    return [float(x) for x in rows["ks_distance"]]


def most_different(data: Data, model: str) -> pd.Series | None:
    """The block whose distribution of |w| is farthest from the model's; None without blocks."""
    rows = layers(data, model).dropna(subset=["ks_distance"])
    return None if rows.empty else rows.loc[rows["ks_distance"].astype(float).idxmax()]


@dataclass(frozen=True)
class Trend:
    """Whether blocks differ more from the whole the deeper they are: Kendall's tau, one-sided.

    p (that they do) and p_falls (that they differ less) are exact for stacks without ties. `grows`
    is None where the blocks are too few to show it.
    """

    model: str
    part: str
    blocks: int
    tau: float
    p: float
    p_falls: float

    @property
    def grows(self) -> bool | None:
        return None if self.blocks < ENOUGH_BLOCKS else self.p < _SIGNIFICANT

    def side(self, alpha: float, tests: int = 1) -> int:
        """1 where it grows, −1 where it falls, 0 where neither shows; of so many stacks."""
        return int(self.p < alpha / tests) - int(self.p_falls < alpha / tests)


def trends(data: Data) -> list[Trend]:
    """The trend with depth of every stack; where all distances are equal there is none."""
    found = []
    for model, part, numbers in stacks(data):
        away = distances(data, model, part)
        up, down = (kendalltau(numbers, away, alternative=way) for way in ("greater", "less"))
        shown = (float(up.statistic), float(up.pvalue), float(down.pvalue))
        found.append(
            Trend(model, part, len(numbers), *(shown if shown[0] == shown[0] else (0.0, 1.0, 1.0)))
        )
    return found


def by_layer_and_kind(data: Data, model: str, part: str) -> pd.DataFrame:
    """Standard deviations of w, a row a block, a column a kind."""
    rows = data["profile"]
    rows = rows[(rows["model"] == model) & (rows["part"] == part) & rows["layer"].notna()]
    table = rows.pivot_table(index="layer", columns="kind", values="std", aggfunc="first")
    return table.astype(float)


def variances(data: Data, model: str, blocks: int) -> list[tuple[str, float, float]]:
    """(part, between kinds, between blocks): how the logarithm of the standard deviation varies.

    Variances of the means by kind and of the means by block over the matrices of each stack of so
    many blocks.
    """
    found = []
    for name, part, numbers in stacks(data):
        if name != model or len(numbers) < blocks:
            continue
        table = by_layer_and_kind(data, model, part)
        table = table[[kind for kind in table.columns if kind in PRUNABLE_KINDS]]
        logs = np.log(table.where(table > 0)).dropna(axis=1, how="all").dropna(axis=0, how="any")
        if min(logs.shape) > 1:
            pair = float(logs.mean(axis=0).var()), float(logs.mean(axis=1).var())
            found.append((part, *pair))
    return found


def sparse_already(data: Data, model: str) -> pd.DataFrame:
    """The leaves of matrices of which a share is exactly zero, the one with most zeros first.

    Norms and biases, of which many are zero from the start, are left out; so are leaves with so few
    zeros that rounding may have made them.
    """
    rows = data["profile"]
    rows = rows[(rows["model"] == model) & ~rows["kind"].isin(["norm", "bias"])]
    share = rows["zeros"] / rows["parameters"]
    found = rows.assign(share=share)[share >= SPARSE_ALREADY]
    return found.sort_values("zeros", ascending=False)


def leading_variants(data: Data, model: str) -> pd.DataFrame:
    """The variants whose histograms are shown: the dense one and the leading method's levels.

    All of the same checkpoint, the dense one first; nothing if that has none.
    """
    rows = data["variants"]
    rows = rows[(rows["model"] == model) & rows["variant"].isin(set(data["histogram"]["variant"]))]
    pruned = rows[rows["method"] == data.leading].sort_values("sparsity")
    task = pruned["task"].fillna("").iloc[:1]
    dense = rows[rows["kind"] == "dense"]
    dense = dense[dense["task"].fillna("").isin(task)] if len(pruned) else dense.iloc[:1]
    return pd.concat([dense, pruned]) if len(dense) else dense
