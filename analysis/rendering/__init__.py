"""report.qmd to HTML and PDF: by Quarto where it is installed, else by the built-in renderer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import RequestError, unknown

ENGINES = ("auto", "quarto", "builtin")


def render(
    project: Path,
    output: Path,
    formats: Sequence[str] = ("html", "pdf"),
    engine: str = "auto",
) -> list[Path]:
    """Render report.qmd of `project` into the folder `output`; the paths of the files.

    `engine` is `quarto`, `builtin`, or `auto`: Quarto if it is on PATH. Engines are imported when
    they are asked for: the hooks import this package in any Python.
    """
    if engine not in ENGINES:
        raise RequestError(unknown("engine", engine, ENGINES))
    if engine == "quarto" or (engine == "auto" and shutil.which("quarto")):
        from analysis.rendering import quarto

        return quarto.render(project, output, formats)
    from analysis.rendering import builtin

    return builtin.render(project, output, formats)
