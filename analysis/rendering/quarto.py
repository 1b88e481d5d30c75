"""Rendering by Quarto itself: its output passes through, and what it only warns of fails here."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import RequestError, RunError, unknown
from analysis.rendering import check, fonts

_OLDEST, _TRIED = (1, 9), "1.9.38 and 1.10.18"
_TO = {"html": "html", "pdf": "typst"}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_COMPLAINT = re.compile(r"(WARN|WARNING|ERROR|Error)\b|\[WARNING\]|\(W\)|warning:")
_HARMLESS = "Kernel is running over TCP"  # ipykernel says so at every start


def render(project: Path, output: Path, formats: Sequence[str] = ("html", "pdf")) -> list[Path]:
    """Run `quarto render`; the files' paths, checked like the built-in renderer's.

    RunError for a failed render and for every warning: Quarto exits 0 with references unresolved.
    """
    project, output = Path(project).resolve(), Path(output).resolve()
    for name in formats:
        if name not in _TO:
            raise RequestError(unknown("format", name, _TO))
    program = shutil.which("quarto")
    if program is None:
        raise RequestError(
            "quarto is not on PATH: install Quarto 1.9 or later, or use the engine 'builtin'."
        )
    if old := too_old(program):
        raise RequestError(f"{old}, or use the engine 'builtin'.")
    every = set(formats) == set(_TO)  # one call without --to: the hooks run once
    for target in [[]] if every else [["--to", _TO[name]] for name in formats]:
        _run([program, "render", *target, *_folder(project, output)], project)
    made = [output / f"report.{name}" for name in formats]
    _refuse(made)
    return made


def too_old(program: str) -> str:
    """Why this Quarto cannot be used; nothing if it can."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    found = re.match(r"(\d+)\.(\d+)", done.stdout.strip())
    if found is None or (int(found[1]), int(found[2])) >= _OLDEST:
        return ""
    return (
        f"{program} is {done.stdout.strip()}, which is too old: install Quarto 1.9 or later"
        f" ({_TRIED} were tried)"
    )


def _folder(project: Path, output: Path) -> list[str]:
    """`--output-dir` where the output is not the one that _quarto.yml names."""
    if output == project / "_output":
        return []
    return ["--output-dir", os.path.relpath(output, project)]


def _run(command: list[str], project: Path) -> None:
    """Run with output passing through live; RunError for a complaint or a non-zero exit."""
    environment = {
        **os.environ,
        # this interpreter's kernel, not one that the user installed under the same name
        "QUARTO_PYTHON": sys.executable,
        "JUPYTER_PREFER_ENV_PATH": "1",
        "SPARSITY_COMPUTED": "1",  # the paper reads what results there are, as without Quarto
        "TYPST_FONT_PATHS": os.pathsep.join(map(str, [*_given_fonts(), *fonts.folders()])),
    }
    complaints = []
    with subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            plain = _ANSI.sub("", line).strip()
            if _COMPLAINT.match(plain) and _HARMLESS not in plain:
                complaints.append(plain)
    if process.returncode:
        reason = complaints[-1] if complaints else "its messages stand above"
        raise RunError(f"quarto render failed with exit status {process.returncode}: {reason}")
    if complaints:
        raise RunError(f"quarto render warns: {complaints[0]}")


def _given_fonts() -> list[str]:
    return [path for path in [os.environ.get("TYPST_FONT_PATHS", "")] if path]


def _refuse(made: Sequence[Path]) -> None:
    for path in made:
        if not path.exists():
            raise RunError(f"quarto render wrote no {path.name} into {path.parent}.")
    if found := [line for path in made for line in check.findings(path)]:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise RunError(found[0] + more)
