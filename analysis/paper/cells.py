"""What stands in a table or a figure where there is no number: why it is missing, in a word."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from analysis.paper import text
from analysis.paper.data import Data
from analysis.paper.text import escape

Cell = tuple[str, str]  # a model and a task

FAILED, VOID, UNREACHED = "failed", "void", "out of reach"


def lacking(data: Data, cell: Cell, name: str, level: float) -> str:
    """Why a series has no score at a level of a benchmark; empty if that was never asked for."""
    model, task = cell
    known = (data.statuses.get((model, own, name, level)) for own in (task, ""))
    status = next((found for found in known if found is not None), None)
    if status == "unreachable":
        return UNREACHED
    if status is not None or cell not in data.cells():
        return FAILED
    return ""


def word(why: str) -> str:
    """The same as a table's cell."""
    return f"*{why}*" if why else text.MISSING


def shown(data: Data, cell: Cell, name: str, level: float, show: Callable[[pd.Series], str]) -> str:
    """The cell of a table: what `show` makes of the score, or why there is none."""
    row = data.find(*cell, name, level)
    return word(lacking(data, cell, name, level)) if row is None else show(row)


def retained(
    data: Data, cell: Cell, name: str, level: float, show: Callable[[pd.Series], str]
) -> str:
    """The same for what is retained, which void benchmarks have not."""
    if cell in data.void and data.find(*cell, name, level) is not None:
        return word(VOID)
    return shown(data, cell, name, level, show)


def reason(data: Data, model: str, task: str = "") -> str:
    """Why a model, or one of its benchmarks, failed, as far as is known."""
    rows = data["failures"]
    rows = rows[rows["model"] == model]
    if task:
        own = rows[rows["task"] == task]
        rows = own if len(own) else rows[rows["task"].isna()]
    found = [r for r in rows["reason"] if not text.is_missing(r)]
    table = data["variants"]
    listed = table[(table["model"] == model) & (table["status"] == "failed")]
    if task:
        listed = listed[listed["task"].isna() | (listed["task"] == task)]
    found += [r for r in listed["reason"] if not text.is_missing(r)]
    return str(found[0]) if found else "no reason was recorded"


def name(data: Data, cell: Cell) -> str:
    """A benchmark as a table names it."""
    return f"{escape(cell[0])}: {escape(data.task_title(cell[1]))}"


def phrase(data: Data, cell: Cell) -> str:
    """A benchmark as a sentence names it."""
    return f"{escape(cell[0])} on {escape(data.task_title(cell[1]))}"


def untimed(data: Data, model: str) -> str:
    """Why a model has no timings: something of it failed, or they were not asked for."""
    lost = data["failures"]["model"] == model
    return FAILED if lost.any() or data.first_task(model) is None else "not timed"


def ranged(row: pd.Series) -> str:
    """What a score retains, with its interval."""
    low, high = (text.fixed(row[f"retained_{end}"]) for end in ("low", "high"))
    return f"{text.fixed(row['retained'])} ({low} to {high})"


def alone(row: pd.Series) -> str:
    """What a score retains, without it."""
    return text.fixed(row["retained"])


def unit_of(metric: pd.Series) -> str:
    """The unit in which a row of table `tasks` is shown: % or none."""
    return "%" if metric["unit"] == "%" else ""


def or_dash(value: Any, length: int | None = None) -> str:
    """What strangers wrote; of a whole commit so many characters."""
    shown = "" if text.is_missing(value) else str(value)
    whole_hash = length and len(shown) == 40 and set(shown) <= set("0123456789abcdef")
    return escape(shown[:length] if whole_hash else shown) if shown else text.MISSING
