"""The built-in renderer: both files from one execution of report.qmd, without Quarto."""

import datetime
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from analysis import files
from analysis.errors import RequestError, RunError, unknown
from analysis.rendering import check, markdown, pdf, settings, source, subset, vanishing, webpage
from analysis.rendering.execute import Executed, execute
from analysis.rendering.markdown import Markdown

Progress = Callable[[str], None]
_WRITERS = {"html": ("html", webpage.write), "pdf": ("typst", pdf.write)}


def say(line: str) -> None:
    """Print a line of progress at once, also where stdout is no terminal."""
    print(line, flush=True)


def render(
    project: Path,
    output: Path,
    formats: Sequence[str] = ("html", "pdf"),
    *,
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
    layers = settings.project_layers(project)
    document = source.read(project / "report.qmd")
    subset.refuse_unsupported(document)
    first = settings.merged(project, layers, _without_values(document.front.text))
    meta = settings.metadata(first, _today())
    vanishing.refuse_vanishing(markdown.unexecuted(document, meta))
    output.mkdir(parents=True, exist_ok=True)
    with files.passing_folder("rendering", output) as folder:
        executed = execute(document, first, progress)
        with ThreadPoolExecutor(1) as beside:  # takes as long as a page
            written = markdown.written(document, executed, meta)
            checked = beside.submit(vanishing.refuse_vanishing, written)
            made = [_write(name, document, executed, layers, folder, progress) for name in formats]
            checked.result()
        _refuse_findings(made)
        return [_put(path, output / path.name) for path, _ in made]


def _without_values(front: str) -> str:
    """The front matter before it is evaluated, expressions standing as words."""
    return source.INLINE.sub(r"\1value", front)


def _write(
    name: str,
    document: source.Source,
    executed: Executed,
    layers: settings.Layers,
    folder: Path,
    progress: Progress,
) -> tuple[Path, Markdown]:
    """One format, in its own corner of `folder`: the file, and the text that it is made of."""
    kind, write = _WRITERS[name]
    progress(f"render  writing report.{name}")
    work = folder / name
    work.mkdir()
    chosen = settings.merged(document.path.parent, layers, executed.front)
    meta = settings.metadata(chosen, _today())
    text = markdown.document(document, executed, chosen, meta, kind, work)
    path = folder / f"report.{name}"
    for character in write(text, chosen, work, path):
        progress(f"render  report.{name}: {_named(character)}: no font here has it")
    return path, text


def _named(character: str) -> str:
    """A character and what is printed for it."""
    return f"{unicodedata.name(character, 'a character')} is printed as [U+{ord(character):04X}]"


def _today() -> datetime.date:
    """The day of the render: that of SOURCE_DATE_EPOCH where files are to be the same again."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return datetime.datetime.fromtimestamp(int(given), datetime.UTC).date()
    return datetime.date.today()


def _refuse_findings(made: Sequence[tuple[Path, Markdown]]) -> None:
    found = [(line, text) for path, text in made for line in check.findings(path)]
    if found:
        line, text = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        quoted = re.match(r"[\w.]+: '([^']+)' ", line)
        place = f"{text.place_of(quoted[1])}: " if quoted else ""
        raise RunError(f"{place}{line}{more}")


def _put(made: Path, path: Path) -> Path:
    os.replace(made, path)
    return path
