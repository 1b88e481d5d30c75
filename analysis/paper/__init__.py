"""All that report.qmd asks for: a figure, a table, a value, a claim, each by its name.

    figure("retained_curves")     a matplotlib figure, from one of the modules of figures
    table("baseline")             a Markdown table, from one of the modules of tables
    value("levels")               a number or name for running text, from values
    claim("cliff")                a checked claim, from claims

The paper reads results and computes none; it imports none of what computes them.
"""

import inspect
import re
from types import ModuleType
from typing import Any

from matplotlib.figure import Figure

from analysis.errors import RequestError, unknown
from analysis.paper import (
    claims,
    method_figures,
    method_tables,
    saving_figures,
    saving_tables,
    style,
    tables,
    values,
    weight_figures,
)
from analysis.paper.data import load
from analysis.paper.text import Md

__all__ = ["claim", "claims_overview", "figure", "start", "study_text", "table", "value"]


def start() -> None:
    """Set the figures' style and read the results: the paper's first chunk."""
    style.use()
    load()


def figure(name: str) -> Figure:
    """The figure of that name."""
    return _named("figure", name, saving_figures, weight_figures, method_figures)(load())


def table(name: str) -> Md:
    """The table of that name."""
    return _named("table", name, tables, method_tables, saving_tables)(load())


def value(name: str, *arguments: Any) -> Md:
    """The value of that name, for running text."""
    return Md(str(_named("value", name, values)(load(), *arguments)))


def claim(name: str) -> Md:
    """The claim of that name, as this run supports it or not."""
    return claims.statement(load(), name)


def claims_overview() -> Md:
    """A table of all claims."""
    return claims.overview(load())


def claims_line() -> str:
    """One line for a terminal: how many claims this run supports, and which it does not."""
    missed = claims.unsupported(load())
    said = f"; not supported: {', '.join(missed)}" if missed else ""
    return f"claims: {len(claims.CLAIMS) - len(missed)} of {len(claims.CLAIMS)} supported{said}"


def study_text() -> Md:
    """The study file, as a listing."""
    source = load().environment["study_text"]
    longest = max((len(run) for run in re.findall("`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    return Md(f"{fence}yaml\n{source}\n{fence}\n")


def _named(what: str, name: str, *modules: ModuleType) -> Any:
    """The modules' public function of that name. Raises RequestError with the nearest name."""
    functions = {
        key: function
        for module in modules
        for key, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not key.startswith("_")
    }
    if name not in functions:
        raise RequestError(unknown(what, name, functions))
    return functions[name]
