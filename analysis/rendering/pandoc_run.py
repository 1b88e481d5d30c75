"""Pandoc, with our filters; what it complains of becomes one error line."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import RequestError, RunError, short
from analysis.rendering.document import Prose
from analysis.rendering.subset import outside
from analysis.rendering.traced import Markdown

_FILTERS = Path(__file__).parent / "pandoc"
# auto-made identifiers and captions would say the words of headings and images twice
_READ = ["--from", "markdown-auto_identifiers-implicit_figures", "--to", "json"]
_FORMULA = re.compile(r"Could not convert TeX math (.*?), rendering as TeX:(.*)", re.DOTALL)
_BIBLIOGRAPHY = re.compile(r"Error reading bibliography file (.*?):\s")
_LINE = re.compile(r"(?:at )?\(?(?:chunk )?line (\d+),? column \d+\)?")


def read(document: Markdown, filters: Sequence[str]) -> list[Any]:
    """The blocks of the document as pandoc reads them, as JSON values.

    RequestError, with the line of the source, for what the filters (files in pandoc/) refuse.
    """
    named = [f"--lua-filter={_FILTERS / name}.lua" for name in filters]
    blocks: list[Any] = json.loads(_pandoc([*_READ, *named], document, {}))["blocks"]
    return blocks


def convert(
    document: Markdown, work: Path, defaults: dict[str, Any], environment: Mapping[str, str]
) -> str:
    """`document` converted as `defaults` say, whose `filters` come after ours; images
    for Typst are written to `work`.

    Unresolved references and citations, dead links, missing images and what would vanish raise
    RequestError with the line where they stand in the source.
    """
    paths = [_FILTERS / "filter.lua", *defaults.get("filters", [])]
    filters = [{"type": "lua", "path": str(path)} for path in paths]
    given = {"from": "markdown", "standalone": True, "wrap": "none", **defaults, "filters": filters}
    path = work / f"{defaults['to']}.yaml"
    path.write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
    within = {"RENDER_WORK": str(work), **environment}
    return _pandoc(["--defaults", str(path)], document, within)


def _pandoc(arguments: Sequence[str], document: Markdown, environment: Mapping[str, str]) -> str:
    """What pandoc makes of the document; its complaints are raised."""
    _refuse_half_characters(document)
    utf8 = {} if sys.platform == "darwin" else {"LC_ALL": "C.UTF-8"}  # paths hold any character
    done = subprocess.run(
        [*_command(), *arguments],
        input=document.text,
        text=True,
        encoding="utf-8",
        capture_output=True,
        cwd=document.source.path.parent,
        env={**os.environ, **utf8, **environment},
    )
    _raise_problems(document, done.stderr.split("\n"), done.returncode)
    return done.stdout


def _refuse_half_characters(document: Markdown) -> None:
    for part, text in document.parts:
        if half := re.search("[\ud800-\udfff]", text):
            offset = text.count("\n", 0, half.start()) if isinstance(part, Prose) else 0
            raise RequestError(
                f"{part.place.down(offset)}: a value holds {half[0]!a}, half of a character,"
                " which no file can show: write its text whole."
            )


def _command() -> list[str]:
    """The wheel's own pandoc, or the one within Quarto, as its hooks find it: a system one may be
    too old for Typst. RunError where neither is installed."""
    if importlib.util.find_spec("pypandoc") is not None:
        import pypandoc

        name = "pandoc.exe" if os.name == "nt" else "pandoc"
        bundled = Path(pypandoc.__file__).parent / "files" / name
        return [str(bundled) if bundled.exists() else str(pypandoc.get_pandoc_path())]
    path = os.pathsep.join([os.environ.get("QUARTO_BIN_PATH", ""), os.environ.get("PATH", "")])
    if quarto := shutil.which("quarto", path=path):
        return [quarto, "pandoc"]
    raise RunError("pandoc is missing; run `make setup`, or install Quarto")


def _raise_problems(document: Markdown, lines: Sequence[str], status: int) -> None:
    for line in lines:
        if line.startswith("problem "):
            raise _problem(document, json.loads(line.removeprefix("problem ")))
    if formula := _FORMULA.search("\n".join(lines)):
        raise _formula_problem(document, formula[1].strip(), formula[2])
    said = " ".join(line.strip() for line in lines if line.strip())
    if status and (bibliography := _BIBLIOGRAPHY.search(said)):
        raise _bibliography_problem(Path(bibliography[1]))
    if status or said:
        at = _LINE.search(said)
        place = document.place(int(at[1])) if at else document.source.path.name
        said = _LINE.sub("", said) if at else said  # a line of the text that was made
        raise RequestError(f"{place}: pandoc: {said or f'exit status {status}'}")


def _problem(document: Markdown, found: dict[str, Any]) -> RequestError:
    """What a filter found: a message of its own, or something that the subset does not hold."""
    place = document.place_of(found["needle"])
    if "message" in found:
        return RequestError(f"{place}: {found['message']}")
    return outside(place, found["what"], found["given"], found["allowed"])


def _formula_problem(document: Markdown, formula: str, said: str) -> RequestError:
    """The line of a formula that pandoc cannot read, and at which command it stopped."""
    command = re.search(r"control sequence (\\\w+)", said)
    what = f"{command[1]} is not known in formulas" if command else "this formula is not complete"
    shown, place = short(" ".join(formula.split()), 60), document.place_of(formula.split("\n")[0])
    return RequestError(
        f"{place}: {what}, ${shown}$: write it with what TeX and amsmath have, each brace closed,"
        " lines within \\begin{aligned}."
    )


def _bibliography_problem(path: Path) -> RequestError:
    """The line of a bibliography that pandoc cannot read: it names that when it reads it alone."""
    command = [*_command(), "--from", "bibtex", "--to", "csljson", str(path)]
    said = subprocess.run(command, text=True, encoding="utf-8", capture_output=True).stderr
    named = re.search(r"line (\d+)", said)
    line = _unclosed_entry(path.read_text(encoding="utf-8-sig")) or (int(named[1]) if named else 1)
    return RequestError(
        f"{path.name}:{line}: the bibliography cannot be read on from here: close each brace, and"
        " end each field with a comma."
    )


def _unclosed_entry(text: str) -> int | None:
    """The line of the first entry whose braces are not closed before the next, or the end."""
    start, depth = None, 0
    for number, line in enumerate([*text.split("\n"), "@"], 1):
        if line.lstrip().startswith("@"):
            if depth > 0:
                return start
            start, depth = number, 0
        depth += line.count("{") - line.count("}")
    return None
