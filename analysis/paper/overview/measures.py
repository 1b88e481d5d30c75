"""Shares of the dense model's quality, bytes and milliseconds, level by level.

Each is a table with a row a level: sparsity, share, low, high. A level at which one of the
benchmarks or models is missing is left out: the mean of the others would be of something else.
"""

from collections.abc import Collection

import pandas as pd

from analysis.execution.names import AUTO, DENSE
from analysis.paper import verdicts
from analysis.paper.data import Data

_COLUMNS = ("sparsity", "share", "low", "high")
_SAFE = 0.9  # of the dense quality


def benchmarks(data: Data, name: str) -> list[tuple[str, str]]:
    """The sound benchmarks that a series was put to, at any level."""
    there = {level: data.retained(name, level) for level in data.levels}
    return [cell for cell in data.sound() if any(cell in found for found in there.values())]


def rows(data: Data, name: str, level: float) -> list[pd.Series]:
    """What those of the series scored at a level."""
    found = [data.find(*cell, name, level) for cell in benchmarks(data, name)]
    return [row for row in found if row is not None]


def quality(data: Data, name: str, cells: Collection[tuple[str, str]]) -> pd.DataFrame:
    """What a series retains, mean over these benchmarks; its interval is as wide as if all rose
    and fell together."""
    found = []
    for level in data.levels:
        scored = [data.find(*cell, name, level) for cell in cells]
        known = [row for row in scored if row is not None and pd.notna(row["retained"])]
        if known and len(known) == len(scored):
            ends = [verdicts.retained(row) for row in known]
            mean = pd.DataFrame([(cell.value, cell.low, cell.high) for cell in ends]).mean()
            found.append((level, *mean))
    return pd.DataFrame(found, columns=_COLUMNS)


def leading(data: Data) -> pd.DataFrame:
    """What the leading method retains."""
    return quality(data, data.leading, benchmarks(data, data.leading))


def best(data: Data) -> str:
    """The method that retains most on average over levels, on the leading method's benchmarks."""
    cells = benchmarks(data, data.leading)

    def rank(name: str) -> tuple[int, float]:
        found = quality(data, name, cells)
        return len(found), float(found["share"].mean()) if len(found) else 0.0

    return max(data.methods, key=rank, default="")


def best_quality(data: Data) -> pd.DataFrame:
    """What that method retains."""
    return quality(data, best(data), benchmarks(data, data.leading))


def safe_level(data: Data) -> float | None:
    """The level up to which it surely retains nine tenths, the choice among methods allowed for."""
    safe = None
    for level, *ends in best_quality(data).itertuples(index=False):
        if not verdicts.Cell(*ends).widened(data.alpha, len(data.methods)).low >= _SAFE:
            break
        safe = float(level)
    return safe


def next_level(data: Data) -> float | None:
    """The level after it: the highest if all are safe, None if nothing is known of any."""
    levels = [float(level) for level in best_quality(data)["sparsity"]]
    beyond = [level for level in levels if level > (safe_level(data) or 0)]
    return min(beyond) if beyond else max(levels, default=None)


def best_trained(data: Data) -> str:
    """The trained series that retains most at the highest level that any was trained at."""
    curves = {name: quality(data, name, benchmarks(data, name)) for name in data.trained}
    last = {name: tuple(found.iloc[-1][:2]) for name, found in curves.items() if len(found)}
    return max(last, key=lambda name: last[name], default="")


def trained_quality(data: Data) -> pd.DataFrame:
    """What that series retains, on the benchmarks that it was trained on."""
    name = best_trained(data)
    return quality(data, name, benchmarks(data, name))


def sizes(data: Data) -> pd.DataFrame:
    """The rows of sparse files with the share that the file is of the dense one, and the bound."""
    found = pd.concat([data.sizes_of(model).assign(model=model) for model in data.models])
    found = found[found["format"] == AUTO]
    bound = found["ratio"] * found["bound_bytes"] / found["bytes"]
    return found.assign(share=found["ratio"], bound=bound)


def times(data: Data, kernel: str) -> pd.DataFrame:
    """The rows of forward passes of the largest batch with the share that each takes of the dense
    model's time."""
    found = data.latency
    found = found[(found["batch"] == found["batch"].max()) & (found["kernel"] == kernel)]
    found = found[found["sparsity"] > 0]
    return found.assign(share=1 / found["speedup"].astype(float))


def times_at_true_size(data: Data) -> pd.DataFrame:
    """The same of the model of true size under the sparse kernel that is fastest at its highest
    level."""
    sparse = data["replicas"]
    sparse = sparse[sparse["kernel"] != DENSE]
    top = sparse[sparse["sparsity"] == sparse["sparsity"].max()]
    if top.empty:
        return sparse.assign(share=[])
    found = sparse[sparse["kernel"] == top.loc[top["speedup"].idxmax(), "kernel"]]
    return found.assign(share=1 / found["speedup"].astype(float))


def over_models(found: pd.DataFrame, column: str = "share") -> pd.DataFrame:
    """The mean of the rows' shares over models, with the range of them."""
    if found.empty:
        return pd.DataFrame(columns=_COLUMNS)
    units = "model" if "model" in found else "architecture"
    table = found.pivot_table(index="sparsity", columns=units, values=column, aggfunc="first")
    table = table.dropna()
    ends = [table.mean(axis=1), table.min(axis=1), table.max(axis=1)]
    return pd.DataFrame(list(zip(table.index, *ends, strict=True)), columns=_COLUMNS)
