"""All that report.qmd asks for: a figure, a table, a value, a claim, each by its name.

    figure("retained_curves")     a matplotlib figure, from one of the modules of figures
    table("baseline")             a Markdown table, from one of the modules of tables
    value("levels")               a number or name for running text, from values
    prose("models")               sentences that hold for some studies only, from sentences
    claim("cliff")                a checked claim, from claims

Where the weights are random, figures and tables say so themselves, and `banner` marks each page.
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
    model_prose,
    saving_figures,
    saving_prose,
    saving_tables,
    saving_values,
    sentences,
    source_tables,
    style,
    tables,
    text,
    values,
    weight_figures,
)
from analysis.paper.data import load
from analysis.paper.text import Md
from analysis.paper.verdicts import Verdict

__all__ = [
    *("banner", "claim", "claims_overview", "figure", "optional_table", "prose", "start"),
    *("study_text", "table", "value"),
]

MARK = "REHEARSAL: random weights"


def start() -> None:
    """Set the figures' style and read the results: the paper's first chunk."""
    style.use()
    load()


def banner() -> Md:
    """What marks every page of a rehearsal; nothing in the paper of any other run.

    The page gets a line that stays in sight; what the PDF gets is found by the running head of
    styles/paper.typ.
    """
    return Md(_BANNER if load().rehearsal else "")


_BANNER = f"""```{{=html}}
<div class="rehearsal" role="note" style="position: fixed; bottom: 0; left: 0; right: 0; \
z-index: 1000; padding: .3rem .8rem; background: #8f1d00; color: #ffffff; font-weight: 700; \
text-align: center">{MARK}. No result on this page means anything.</div>
```

```{{=typst}}
#metadata("{MARK}") <rehearsal>
```
"""


def figure(name: str) -> Figure:
    """The figure of that name."""
    made = _named("figure", name, saving_figures, weight_figures, method_figures)(load())
    return style.marked(made, MARK) if load().rehearsal else made


def table(name: str) -> Md:
    """The table of that name."""
    modules = (tables, method_tables, saving_tables, source_tables)
    return _marked(_named("table", name, *modules)(load()))


def optional_table(name: str, caption: str, widths: str = "") -> Md:
    """The table of that name as `tbl-name`, with its caption and its columns' widths in per cent;
    nothing where it would be empty. The text refers to it in sentences of `prose`."""
    shown = table(name)
    columns = f' tbl-colwidths="[{widths}]"' if widths else ""
    return Md(f"{shown}\n: {caption} {{#tbl-{name}{columns}}}\n" if text.has_rows(shown) else "")


def _marked(shown: Md) -> Md:
    return Md(f"**{MARK}**\n\n{shown}") if load().rehearsal else shown


def prose(name: str) -> Md:
    """The sentences of that name, as they are true of this study."""
    return Md(str(_named("sentence", name, sentences, model_prose, saving_prose)(load())))


def value(name: str, *arguments: Any) -> Md:
    """The value of that name, for running text."""
    return Md(str(_named("value", name, values, saving_values)(load(), *arguments)))


def claim(name: str) -> Md:
    """The claim of that name, as this run supports it or not."""
    return claims.statement(load(), name)


def claims_overview() -> Md:
    """A table of all claims."""
    return _marked(claims.overview(load()))


def claims_line() -> str:
    """One line for a terminal: how many claims this run supports, which it contradicts, which it
    leaves undecided, and how many it cannot check."""
    found = claims.by_verdict(load())
    said = [f"claims: {len(found[Verdict.SUPPORTED])} of {len(claims.CLAIMS)} supported"]
    for one in (Verdict.CONTRADICTED, Verdict.UNDECIDED):
        said += [f"{one}: {', '.join(found[one])}"] if found[one] else []
    beyond = len(found[Verdict.UNCHECKED])
    said += [f"{beyond} cannot be checked"] if beyond else []
    return "; ".join(said)


def study_text() -> Md:
    """The study file, as a listing in which Quarto expands nothing."""
    source = load().environment["study_text"]
    longest = max((len(run) for run in re.findall("`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    return Md(f'{fence} {{.yaml shortcodes="false"}}\n{source}\n{fence}\n')


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
