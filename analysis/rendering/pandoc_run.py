"""Pandoc, as its wheel brings it, with our filter; what it complains of becomes one error line."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pypandoc
import yaml

from analysis.errors import RequestError, RunError
from analysis.rendering.source import Source

HERE = Path(__file__).parent
_FILTER = HERE / "pandoc" / "filter.lua"


def convert(
    text: str,
    source: Source,
    work: Path,
    *,
    to: str,
    template: Path,
    variables: dict[str, Any],
    options: dict[str, Any],
) -> str:
    """`text` converted to `to` with the template; images for Typst are written to `work`.

    Unresolved references and citations, dead links and missing images raise RequestError with the
    line where they stand in the source.
    """
    defaults = {
        "from": "markdown",
        "to": to,
        "standalone": True,
        "wrap": "none",
        "template": str(template),
        "filters": [{"type": "lua", "path": str(_FILTER)}],
        "variables": variables,
        **options,
    }
    path = work / f"{to}.yaml"
    path.write_text(yaml.safe_dump(defaults, allow_unicode=True), encoding="utf-8")
    done = subprocess.run(
        [pandoc_path(), "--defaults", str(path)],
        input=text,
        text=True,
        encoding="utf-8",
        capture_output=True,
        cwd=source.path.parent,
        env={**os.environ, "RENDER_WORK": str(work)},
    )
    _raise_problems(source, done.stderr.splitlines(), done.returncode)
    return done.stdout


def pandoc_path() -> str:
    """The wheel's own pandoc: a system one may be too old for Typst."""
    bundled = (
        Path(pypandoc.__file__).parent / "files" / ("pandoc.exe" if os.name == "nt" else "pandoc")
    )
    return str(bundled) if bundled.exists() else str(pypandoc.get_pandoc_path())


def _raise_problems(source: Source, lines: Sequence[str], status: int) -> None:
    for line in lines:
        if line.startswith("problem "):
            found = json.loads(line.removeprefix("problem "))
            raise RequestError(f"{source.place_of(found['needle'])}: {found['message']}")
    complaints = [line for line in lines if line.strip()]
    if status or complaints:
        raise RunError(
            f"{source.path.name}: pandoc: {' '.join(complaints) or f'exit status {status}'}"
        )
