"""All that report.qmd asks for: a figure, a table, a value, a claim, each by its name.

    figure("retained_curves")     a figure, from the figures.py of a section
    table("baseline")             a Markdown table, from a tables.py
    value("levels")               a number or name for running text, from a values.py
    claim("cliff", "…", …)        a checked claim of report.qmd, from the findings.py of a section

Where the weights are random, figures and tables say so themselves, and `banner` marks each page.
The paper reads results and computes none; it imports none of what computes them.
"""

from typing import Any

from analysis.paper import claims, download, drawn, sections, sourced, style
from analysis.paper.chart import Chart
from analysis.paper.claims import Holds, document, finding
from analysis.paper.data import folder, load
from analysis.paper.text import Md
from analysis.paper.verdicts import Cell as Interval
from analysis.paper.verdicts import Verdict
from analysis.rendering.document import fence

__all__ = [
    "Interval",
    "banner",
    "claim",
    "figure",
    "finding",
    "start",
    "study_text",
    "table",
    "value",
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


def figure(name: str) -> Md:
    """The figure of that name; on the page, with its numbers and its code."""
    made_by = sections.named("figure", name)
    return drawn.figure(name, chart(name), made_by, folder())


def chart(name: str) -> Chart:
    """The same as a figure of matplotlib."""
    made: Chart = sections.named("figure", name)(load())
    return style.marked(made, MARK) if load().rehearsal else made


def table(name: str) -> Md:
    """The table of that name; on the page, with a link that saves it."""
    return download.with_csv(name, _marked(sections.named("table", name)(load())))


def _marked(shown: Md) -> Md:
    return Md(f"**{MARK}**\n\n{shown}") if load().rehearsal else shown


def value(name: str, *arguments: Any) -> Md:
    """The value of that name, for running text; the page says where it comes from."""
    return Md(sourced.marked(sections.named("value", name)(load(), *arguments)))


def claim(name: str, sentence: str, *, otherwise: str, undecided: str, holds: Holds) -> Md:
    """The claim, as this run supports it, contradicts it, leaves it undecided or cannot check it.

    `sentence` is what is claimed; `otherwise` is printed in its place if the run contradicts it,
    `undecided` if it does not tell. `holds` decides: a finding by name, `paper.finding(name, …)`
    with settings, or a function of the results that gives a pair: True, False, None (it cannot be
    checked) or a `paper.Interval` of how far the number lies on the claimed side; and the numbers.
    """
    return claims.statement(claims.check(load(), document.named(name)))


def claims_line() -> str:
    """One line for a terminal: how many claims this run supports, which it contradicts, which it
    leaves undecided, and how many it cannot check."""
    found = document.by_verdict(load())
    said = [f"claims: {len(found[Verdict.SUPPORTED])} of {len(document.claims())} supported"]
    for one in (Verdict.CONTRADICTED, Verdict.UNDECIDED):
        said += [f"{one}: {', '.join(found[one])}"] if found[one] else []
    beyond = len(found[Verdict.UNCHECKED])
    said += [f"{beyond} cannot be checked"] if beyond else []
    return "; ".join(said)


def study_text() -> Md:
    """The study file, as a listing in which Quarto expands nothing."""
    source = load().environment["study_text"]
    mark = fence(source)
    return Md(f'{mark} {{.yaml shortcodes="false"}}\n{source}\n{mark}\n')
