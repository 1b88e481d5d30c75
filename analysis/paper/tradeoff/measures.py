"""Quality, bytes and milliseconds of every variant that was timed, in one table."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.execution.names import AUTO
from analysis.paper import series
from analysis.paper.data import Data

GROUPS = ("dense", "one-shot", "trained", "N:M", "structured", "int8", "student", "moe")
MEASURES = ("retained", "bytes", "p50_ms")


def stored(data: Data) -> pd.DataFrame:
    """The variants of sound benchmarks that were scored and stored: model, task, series, group,
    sparsity, retained (with its interval), bytes of the smallest file and its format."""
    smallest = _least(data["size"], "bytes")[["variant", "bytes", "format"]]
    columns = ["variant", "model", "task", "kind", "method", "series", "sparsity", "retained",
               "retained_low", "retained_high"]  # fmt: skip
    found = data.scores[columns].merge(smallest, on="variant")
    known, sound = found["retained"].notna(), frozenset(data.sound())
    cells = zip(found["model"], found["task"], strict=True)
    found = found[known & np.array([cell in sound for cell in cells], dtype=bool)]
    found = found.drop_duplicates("variant")  # of a model tuned for no task: its first benchmark
    settings = found["variant"].map(data.variants.set_index("variant")["settings"])
    described = zip(found["kind"], found["series"], settings, strict=True)
    return found.assign(group=[_group(*row) for row in described])


def table(data: Data) -> pd.DataFrame:
    """Those of them that were timed, with p50_ms and kernel, and bytes and p50_ms also as a share
    of the dense model's; whether each is among the best of its model (see `best`)."""
    timed = data.runtime[data.runtime["operation"] == "forward"]
    timed = timed[timed["batch"] == timed["batch"].max()]
    # one kernel each: the least of several medians would be lower by chance alone
    chosen = timed["variant"].isin(timed.loc[timed["kernel"] == AUTO, "variant"])
    fastest = timed.loc[~chosen | (timed["kernel"] == AUTO), ["variant", "p50_ms", "kernel"]]
    found = stored(data).merge(fastest, on="variant")
    found = found[~found["series"].str.endswith(series.ORACLE)].drop_duplicates("variant")
    dense = found[found["kind"] == "dense"].drop_duplicates("model").set_index("model")
    for column in ("bytes", "p50_ms"):
        whole = found["model"].map(dense[column]).astype(float)  # of no rows it would be text
        found[f"{column}_share"] = found[column] / whole
    found = found[found["model"].isin(dense.index)]  # nothing else can be held against it
    found["best"] = False
    for _, own in found.groupby("model"):
        found.loc[own.index, "best"] = best(own)
    return found.reset_index(drop=True)


def best(variants: pd.DataFrame) -> pd.Series:
    """Whether no other variant is as good in quality, bytes and milliseconds, and better in one:
    the Pareto set."""
    points = variants[list(MEASURES)].to_numpy(float) * np.array([-1, 1, 1])  # less is better
    as_good = (points[:, None] <= points[None]).all(axis=2)
    better = (points[:, None] < points[None]).any(axis=2)
    return pd.Series(~(as_good & better).any(axis=0), variants.index)


def recommended(variants: pd.DataFrame, loss: float) -> pd.Series | None:
    """Of one model's variants that by the lower end of their interval lose no more than this share
    of the dense quality, the one with the least bytes times milliseconds; None of no variants."""
    good = variants[(variants["retained_low"] >= 1 - loss) | (variants["kind"] == "dense")]
    if good.empty:
        return None
    return good.loc[(good["bytes"] * good["p50_ms"]).idxmin()]


def _least(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """For each variant the row with the least there."""
    return rows.loc[rows.groupby("variant", sort=False)[column].idxmin()]


def _group(kind: str, name: str, settings: str) -> str:
    """What the variant is shown as; a method may have any name, so its settings tell what it is."""
    if kind != "pruned":
        return kind
    if series.is_trained(name):
        return "trained"
    chosen = json.loads(settings)
    if "kept" in chosen:
        return "structured"
    return "N:M" if "pattern" in chosen else "one-shot"


def groups(variants: pd.DataFrame) -> Sequence[str]:
    """The groups that there are, in order."""
    present = set(variants["group"])
    return [group for group in GROUPS if group in present]
