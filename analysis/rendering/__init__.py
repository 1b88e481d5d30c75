"""report.qmd to HTML and PDF: by Quarto where it is installed, else by the built-in renderer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import RequestError, unknown
from analysis.rendering.made import NOTHING_MADE, Made

ENGINES = ("auto", "quarto", "builtin")


def render(
    project: Path,
    output: Path,
    formats: Sequence[str] = ("html", "pdf"),
    engine: str = "auto",
    made: Made = NOTHING_MADE,
) -> list[Path]:
    """Render report.qmd of `project` into the folder `output`; the paths of the files.

    `made` is the content of files that the front matter names as `metadata-files` and that are made
    for the study; Quarto reads what its pre-render hook writes.

    `engine` is `quarto`, `builtin`, or `auto`: Quarto if it is on PATH and not too old. Engines are
    imported when they are asked for: the hooks import this package in any Python.
    """
    if engine not in ENGINES:
        raise RequestError(unknown("engine", engine, ENGINES))
    if engine == "quarto" or (engine == "auto" and _usable_quarto()):
        from analysis.rendering import quarto

        return quarto.render(project, output, formats)
    from analysis.rendering import builtin

    return builtin.render(project, output, formats, made=made)


def _usable_quarto() -> bool:
    """Whether a Quarto that is new enough is on PATH; one that is too old is named."""
    program = shutil.which("quarto")
    if program is None:
        return False
    from analysis.rendering import quarto

    if old := quarto.too_old(program):
        print(f"render  without Quarto: {old}", flush=True)
    return not old
