"""A table of what training wins back."""

from analysis.paper import cells, text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


def recovery(data: Data) -> Md:
    """What training wins back: retained before and after, the zeros after it, and the seconds."""
    body = []
    for cell in data.benchmarks:
        for level in data.levels:
            after = [cells.retained(data, cell, name, level, cells.ranged) for name in data.trained]
            if all(shown == text.MISSING for shown in after):
                continue
            rows = [data.find(*cell, name, level) for name in data.trained]
            facts = data.variants.set_index("variant")
            facts = facts.loc[[row["variant"] for row in rows if row is not None]]
            before = data.before(data.trained[-1])
            body.append(
                [
                    cells.name(data, cell),
                    text.level(level),
                    cells.retained(data, cell, before, level, cells.alone),
                    *after,
                    text.between(facts["achieved"], lambda share: text.percent(share, 2)),
                    text.between(facts["train_seconds"], lambda s: f"{s:.0f}"),
                ]
            )
    names = [name.split(", ")[-1] for name in data.trained]  # the method stands in the caption
    header = ["Benchmark", "Level", "One-shot", *map(escape, names), "Zeros after", "Seconds"]
    return text.table(header, body, "lrr" + "r" * (len(names) + 2))
