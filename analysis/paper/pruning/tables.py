"""Tables of thresholds and of what methods cost."""

from collections.abc import Callable

import pandas as pd

from analysis import pruning
from analysis.paper import cells, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


def method_costs(data: Data) -> Md:
    """What each method looks at, and what it took for one level of one model."""
    body = []
    for name, rows in data.one_shot[data.one_shot["status"] == "ok"].groupby("method", sort=False):
        body.append(
            [
                escape(name),
                f"{escape(pruning.title(str(name)))} [@{pruning.citation(str(name))}]",
                _LOOKS_AT[pruning.kind(str(name))],
                text.number(rows["prune_seconds"].mean(), 2),
                text.megabytes(rows["peak_bytes"].mean()),
            ]
        )
    header = ["Method", "In words", "Looks at", "Seconds", "Memory"]
    return text.table(header, body, "lllrr")


_LOOKS_AT = {
    "weights": "weights",
    "calibrated": "weights and inputs",
    "structured": "weights and inputs",
    "trained": "weights, while training",
}


def thresholds(data: Data) -> Md:
    """For each level, the magnitude below which weights were removed, and what that is of all.

    Methods without one threshold are left out.
    """
    body = []
    facts = data.variants.set_index("variant")
    for model in data.models:
        task = data.first_task(model)
        for method in data.methods if task is not None else ():
            cell = (model, str(task))
            rows = [data.find(*cell, method, level) for level in data.levels]
            known = facts.loc[[row["variant"] for row in rows if row is not None]]
            if known["threshold"].isna().all():
                continue
            first = known.iloc[0]
            body.append(
                [
                    escape(model),
                    escape(method),
                    text.percent(first["scope_weights"] / first["parameters"]),
                    *(cells.shown(data, cell, method, level, _removed(facts))
                      for level in data.levels),
                ]
            )  # fmt: skip
    header = ["Model", "Method", "Scope", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "llr" + "r" * len(data.levels))


def _removed(facts: pd.DataFrame) -> Callable[[pd.Series], str]:
    """The threshold of a variant that was scored, and what it removed of the whole model."""

    def show(row: pd.Series) -> str:
        own = facts.loc[row["variant"]]
        return f"{text.number(own['threshold'], 2)} ({text.percent(own['whole_model'], 0)})"

    return show
