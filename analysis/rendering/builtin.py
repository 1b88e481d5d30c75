"""The built-in renderer: both files from one execution of report.qmd, without Quarto."""

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from analysis.engine import files
from analysis.errors import RequestError, RunError, unknown
from analysis.rendering import check, document, markdown, pdf, settings, vanishing, webpage
from analysis.rendering.execute import execute
from analysis.rendering.traced import Markdown

Progress = Callable[[str], None]
_WRITERS = {"html": webpage.write, "pdf": pdf.write}


def say(line: str) -> None:
    """Print a line of progress at once, also where stdout is no terminal."""
    print(line, flush=True)


def render(
    project: Path,
    output: Path,
    formats: Sequence[str] = ("html", "pdf"),
    *,
    made: Mapping[str, Mapping[str, Any]] = settings.NOTHING_MADE,
    progress: Progress = say,
) -> list[Path]:
    """Render report.qmd of `project` to `output`/report.html and report.pdf; their paths.

    The files appear together and whole, or, after an error, the old ones stay. RequestError for
    what lies outside the supported subset (docs/rendering.md), RunError for a chunk that raises.
    """
    project, output = Path(project).resolve(), Path(output).resolve()
    for name in formats:
        if name not in _WRITERS:
            raise RequestError(unknown("format", name, _WRITERS))
    source = document.read(project / "report.qmd")
    document.refuse_outside(source)
    chosen = settings.read(source, made)
    meta = settings.metadata(chosen, markdown.as_words)
    vanishing.refuse_vanishing(markdown.unexecuted(source, meta), "subset", "read")
    output.mkdir(parents=True, exist_ok=True)
    with files.passing_folder("rendering", output) as folder:
        inches = (chosen.document["fig-width"], chosen.document["fig-height"])
        text = markdown.executed(source, execute(source, inches, progress), chosen, folder)
        with ThreadPoolExecutor(1) as beside:  # takes as long as a page
            checked = beside.submit(vanishing.refuse_vanishing, text, "read")
            written = [_write(name, text, chosen, folder, progress) for name in formats]
            checked.result()
        _refuse_findings(text, written)
        return [_put(path, output / path.name) for path in written]


def _write(
    name: str, text: Markdown, chosen: settings.Settings, folder: Path, progress: Progress
) -> Path:
    """One format of the text, in `folder`."""
    progress(f"render  writing report.{name}")
    path = folder / f"report.{name}"
    for character in _WRITERS[name](text, chosen, folder, path):
        called = unicodedata.name(character, "a character")
        printed = f"{called} is printed as [U+{ord(character):04X}]"
        progress(f"render  report.{name}: {printed}: no font here has it")
    return path


def _refuse_findings(text: Markdown, made: Sequence[Path]) -> None:
    found = [line for path in made for line in check.findings(path)]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        quoted = re.match(r"[\w.]+: '([^']+)' ", found[0])
        place = f"{text.place_of(quoted[1])}: " if quoted else ""
        raise RunError(f"{place}{found[0]}{more}")


def _put(made: Path, path: Path) -> Path:
    os.replace(made, path)
    return path
