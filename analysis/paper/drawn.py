"""How a figure appears in the paper: its picture and, on the page, its numbers and its code.

One Markdown object holds both, since two would be two figures to Quarto. What only the page can
show stands in a raw block, which the PDF leaves out.
"""

import base64
import html
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.engine import files
from analysis.paper import download, text
from analysis.paper.chart import Chart
from analysis.paper.text import Md
from analysis.rendering import document
from analysis.rendering.leftovers import like_leftovers
from analysis.rendering.subset import text_of

DOCUMENT = Path("report.qmd")
FOLDER = "figures"  # in that of the results
ROWS = 100  # of a table in the page; the file has all
_CALL = re.compile(r"\bpaper\.figure\(\s*[\"']([^\"']+)")
_KEEP = "<!--| quarto-html-table-processing: none -->"  # else Quarto sets the table in the PDF too


def figure(name: str, chart: Chart, made_by: Callable[..., Any], results: Path) -> Md:
    """The figure, with its numbers and its code; they become a file among the results too."""
    picture = base64.b64encode(chart.svg().encode()).decode()
    shown = (
        f"![](data:image/svg+xml;base64,{picture}){{fig-alt={document.quoted(description(name))}}}"
    )
    if chart.numbers.empty:
        return Md(shown)
    csv = chart.numbers.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    _keep(results / FOLDER / f"{name}.csv", csv)
    return Md(f"{shown}\n\n{download.on_the_page(behind(name, chart, csv, made_by))}\n")


def description(name: str) -> str:
    """What the figure's chunk says of it to those who do not see it, in `fig-alt`: Quarto gives
    that to pictures, but not to Markdown. Empty if the document does not show the figure."""
    for chunk in document.parsed(DOCUMENT, text_of(DOCUMENT)).chunks:
        names = _CALL.findall(chunk.code)
        if name in names:
            given = chunk.options.get("fig-alt", "")
            listed = given if isinstance(given, list) else [given]
            return str([*listed, *[""] * len(names)][names.index(name)])
    return ""


def behind(name: str, chart: Chart, csv: str, made_by: Callable[..., Any]) -> str:
    """The numbers and the code, folded, and what the page's script needs."""
    found = chart.numbers
    rest = f", of which the first {ROWS} are shown" if len(found) > ROWS else ""
    saved = download.link(f"{name}.csv", csv, f"{name}.csv", f"{name}.csv, the figure's numbers")
    lines = [
        _KEEP,
        '<details class="figure-data"><summary>Data and code</summary>',
        f"<p>{saved} ({text.numbered(len(found), 'row')}{rest})</p>",
        f'<div class="figure-table" role="group" tabindex="0" aria-label="Numbers of {name}">',
        table(found.head(ROWS)),
        "</div>",
        f'<pre tabindex="0" aria-label="Code of {name}"><code>{_code(made_by)}</code></pre>',
        "</details>",
    ]
    if marks := chart.marks():
        told = json.dumps(marks, ensure_ascii=False, separators=(",", ":"))
        told = told.replace("<", "\\u003c")  # no tag, and no shortcode
        lines.append(f'<script type="application/json" class="figure-marks">{told}</script>')
    return "\n".join(lines)


def table(rows: pd.DataFrame) -> str:
    """Numbers as a table of HTML; the first column says what a row is of."""
    head = "".join(f'<th scope="col">{html.escape(str(name))}</th>' for name in rows.columns)
    body = "\n".join(
        f'<tr><th scope="row">{_escaped(first)}</th>{"".join(map(_cell, rest))}</tr>'
        for first, *rest in rows.itertuples(index=False)
    )
    return f'<table class="table"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'


def _cell(value: object) -> str:
    data = ' class="data"' if isinstance(value, str) and like_leftovers(value) else ""
    return f"<td{data}>{_escaped(value)}</td>"


def _escaped(value: object) -> str:
    """A cell in one line, whatever the string; numbers as they are read."""
    if pd.isna(value):
        return text.MISSING
    if isinstance(value, str):
        return html.escape(" ".join(value.split()))
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    number = float(str(value))
    return text.count(number) if number.is_integer() else text.number(number, 4)


def _code(made_by: Callable[..., Any]) -> str:
    """The function's source, and the file where it stands."""
    file = Path(inspect.getsourcefile(made_by) or "")
    root = Path(__file__).parents[2]
    place = file.relative_to(root) if file.is_relative_to(root) else file.name
    return html.escape(f"# {place}\n\n{inspect.getsource(made_by)}".rstrip())


def _keep(path: Path, content: str) -> None:
    """The file with that content; one that has it already is left alone."""
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace_text(path, content)
