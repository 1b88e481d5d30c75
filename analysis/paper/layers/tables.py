"""A table of sparsities by sensitivity against the same for all."""

import json

from analysis.paper import cells, series, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


def _signed(value: float) -> str:
    shown = text.fixed(value)
    return shown if shown.startswith("−") else f"+{shown}"


def allocation(data: Data) -> Md:
    """Sparsities by sensitivity against the same for all: difference, and what was allotted."""
    body = []
    uniform = "magnitude-layer"
    contest = data.contest(uniform + series.ALLOCATED, uniform)
    settings = data.variants.set_index("variant")["settings"]
    for _, row in contest.iterrows():
        shares = json.loads(settings[row["variant"]])["allocation"]
        cell = (row["model"], row["task"])
        if cell in data.void:
            continue
        pair = [
            cells.retained(data, cell, name, row["sparsity"], cells.alone)
            for name in (uniform, row["series"])
        ]
        body.append(
            [
                cells.name(data, cell),
                text.level(row["sparsity"]),
                *pair,
                f"{_signed(row['difference'])} ({text.fixed(row['low'])} to"
                f" {text.fixed(row['high'])})",
                ", ".join(f"{escape(g)}: {text.percent(s, 0)}" for g, s in shares.items()),
            ]
        )
    header = ["Benchmark", "Level", "Uniform", "By sensitivity", "Difference", "Sparsities"]
    return text.table(header, body, "lrrrrl")
