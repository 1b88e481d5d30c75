"""The built-in renderer: both files from one execution of report.qmd, without Quarto."""

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from analysis.engine import files
from analysis.errors import RequestError, RunError, unknown
from analysis.rendering import check, document, markdown, pdf, settings, vanishing, webpage
from analysis.rendering.execute import execute
from analysis.rendering.made import NOTHING_MADE, Made
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
    made: Made = NOTHING_MADE,
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
    source, chosen = read(project, made)
    refuse_unread(source, chosen)
    output.mkdir(parents=True, exist_ok=True)
    with files.passing_folder("rendering", output) as folder:
        done = execute(source, inches(chosen), progress)
        text = markdown.executed(source, done, chosen, folder)
        with ThreadPoolExecutor(1 + len(formats)) as beside:  # each waits for pandoc or Typst
            checked = beside.submit(vanishing.refuse_vanishing, text, "read")
            started = [
                beside.submit(_write, name, text, chosen, folder, progress) for name in formats
            ]
            written = [one.result() for one in started]
            checked.result()
        refuse_findings(text, written)
        return [_put(path, output / path.name) for path in written]


def read(project: Path, made: Made) -> tuple[document.Source, settings.Settings]:
    """The document of the project and its settings; RequestError for what is seen to be wrong."""
    source = document.read(project / "report.qmd")
    document.refuse_outside(source)
    return source, settings.read(source, made)


def inches(chosen: settings.Settings) -> tuple[float, float]:
    """The size of figures that ask for none."""
    return chosen.document["fig-width"], chosen.document["fig-height"]


def refuse_unread(source: document.Source, chosen: settings.Settings) -> None:
    """RequestError for what pandoc would read otherwise than it is meant, or not at all."""
    meta = settings.metadata(chosen, markdown.as_words)
    vanishing.refuse_vanishing(markdown.unexecuted(source, meta), "subset", "read")


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


def refuse_findings(text: Markdown, made: Sequence[Path]) -> None:
    """RunError for what no finished file may hold."""
    found = [line for path in made for line in check.findings(path)]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        quoted = re.match(r"[\w.]+: '([^']+)' ", found[0])
        place = f"{text.place_of(quoted[1])}: " if quoted else ""
        raise RunError(f"{place}{found[0]}{more}")


def _put(made: Path, path: Path) -> Path:
    os.replace(made, path)
    return path
