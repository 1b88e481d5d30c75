"""Tables of how weights are distributed, and how many are far from zero."""

import pandas as pd

from analysis.checkpoints.naming import PARTS
from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.profile import measures
from analysis.paper.text import Md, escape


def far_from_zero(data: Data) -> Md:
    """The share of each model's weights that is far from zero, by each definition in use."""
    body = [
        [definition]
        + [
            text.percent(share(data.one(data["profile_scopes"], model=model, scope="model")))
            for model in data.profiled
        ]
        for definition, share in measures.FAR_FROM_ZERO.items()
    ]
    header = ["Far from zero is what is", *map(escape, data.profiled)]
    return text.table(header, body, "l" + "r" * len(data.profiled))


def parts(data: Data) -> Md:
    """How weights are distributed in each model and its parts."""
    body = []
    for model in data.profiled:
        scopes = data["profile_scopes"]
        own = scopes[scopes["model"] == model]
        found = own[own["scope"].str.startswith("part:")]
        found = found.sort_values("part", key=lambda p: p.map(PARTS.index))
        for _, row in pd.concat([own[own["scope"] == "model"], found]).iterrows():
            body.append(
                [
                    escape(model) if row["scope"] == "model" else "",
                    "all" if row["scope"] == "model" else escape(row["part"]),
                    text.count(row["parameters"]),
                    *(text.number(row[name]) for name in ("std", "skew", "kurtosis", "q50", "q99")),
                    text.count(row["zeros"]),
                ]
            )
    header = ["Model", "Part", "Parameters", "Std. dev.", "Skew", "Kurtosis", "Median", "99 %"]
    return text.table([*header, "Zeros"], body, "llrrrrrrr")
