"""Quarto's post-render hook: search the finished files for what must not be in a paper.

If anything is found, the files of the render before it are put back.

Quarto runs it as a bare script in the project folder and names the files, one a line, in
QUARTO_PROJECT_OUTPUT_FILES; a non-zero exit status fails the render.
"""

import os
import sys

sys.path[0] = os.getcwd()  # it was this folder, whose modules would hide the standard library's

import subprocess  # noqa: E402
from pathlib import Path  # noqa: E402

from analysis.errors import RequestError  # noqa: E402
from analysis.rendering import hooks  # noqa: E402


def main() -> int:
    """The exit status: 1 for findings, 2 without a Python to search with."""
    project = Path.cwd()
    listed = os.environ.get("QUARTO_PROJECT_OUTPUT_FILES", "").splitlines()
    files = [line.strip() for line in listed if line.strip().endswith((".html", ".pdf"))]
    if not files:
        return 0
    try:
        python = hooks.project_python(project)
    except RequestError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_status
    status = subprocess.call([python, "-m", "analysis.rendering.check", *files], cwd=project)
    if output := os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", ""):
        (hooks.bring_back if status else hooks.forget)(project / output)
    return status


if __name__ == "__main__":
    sys.exit(main())
