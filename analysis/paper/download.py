"""What a reader can take from the page: a table's content as CSV, inside a link."""

import base64
import csv
import html
import io
import re

from analysis.paper import text
from analysis.paper.text import Md
from analysis.rendering.document import fence

_CELL = re.compile(r"(?<!\\)\|")


def with_csv(name: str, shown: Md) -> Md:
    """The table with a link below it, on the page alone, that saves what it shows."""
    if not text.has_rows(shown):
        return shown
    saved = link(f"{name}.csv", as_csv(shown), "CSV", f"CSV of the table {name}")
    below = on_the_page(f'<p class="table-csv">{saved}</p>')
    return Md(f"{shown}\n{below}\n")


def as_csv(shown: Md) -> str:
    """The pipe table in a text as CSV: what a reader sees of each cell."""
    header, _, *body = [line for line in shown.text.splitlines() if line.startswith("|")]
    written = io.StringIO()
    for line in (header, *body):
        cells = _CELL.split(line.strip()[1:-1])
        csv.writer(written, lineterminator="\n").writerow(_readable(cell) for cell in cells)
    return written.getvalue()


def link(name: str, content: str, shown: str, label: str) -> str:
    """A link that saves the file, whose content it holds."""
    held = base64.b64encode(content.encode()).decode()
    return (
        f'<a download="{html.escape(name)}" href="data:text/csv;charset=utf-8;base64,{held}"'
        f' aria-label="{html.escape(label)}">{html.escape(shown)}</a>'
    )


def on_the_page(content: str) -> str:
    """A block that stands in the page as it is, and not in the PDF."""
    mark = fence(content)
    return f"{mark}{{=html}}\n{content}\n{mark}"


def _readable(cell: str) -> str:
    return text.plain(cell).replace("\u00a0", " ").strip()
