"""A table of file sizes."""

from collections.abc import Sequence

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.text import Md, escape


def sizes(data: Data) -> Md:
    """Bytes of each format at each level under the leading method, as a share of the dense file."""
    body = []
    for model in data.models:
        rows = data.sizes_of(model)
        dense = rows.loc[(rows["format"] == "dense") & (rows["sparsity"] == 0), "bytes"]
        columns = [0.0, *data.levels]
        if dense.empty:
            body.append([escape(model), text.MISSING, *["*failed*"] * len(columns)])
            continue
        for name in dict.fromkeys(rows["format"]):
            part = rows[rows["format"] == name].set_index("sparsity")["ratio"]
            body.append([escape(model), escape(name), *_shares(part, columns)])
        part = rows[rows["format"] == "dense"].set_index("sparsity")["bound_bytes"]
        body.append([escape(model), "*entropy bound*", *_shares(part / dense.iloc[0], columns)])
    header = ["Model", "Format", "Dense", *(text.level(level) for level in data.levels)]
    return text.table(header, body, "ll" + "r" * (len(data.levels) + 1))


def _shares(by_level: pd.Series, levels: Sequence[float]) -> list[str]:
    """A cell for each level; a file that is not there was not written because its step failed."""
    return [text.percent(by_level[x]) if x in by_level.index else "*failed*" for x in levels]
