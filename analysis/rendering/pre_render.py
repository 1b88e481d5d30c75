"""Quarto's pre-render hook: check the profile, then compute the study's results.

Quarto runs it as a bare script in the project folder, with whatever Python it found; a non-zero
exit status stops the render.
"""

import os
import sys

sys.path[0] = os.getcwd()  # it was this folder, whose modules would hide the standard library's

import subprocess  # noqa: E402
from pathlib import Path  # noqa: E402

from analysis.errors import RequestError, unknown  # noqa: E402
from analysis.rendering.interpreter import NO_PYTHON, project_python  # noqa: E402


def check_profiles(project: Path, given: str) -> None:
    """RequestError if a profile in `given` has no file: Quarto would silently ignore it."""
    names = [path.name[len("_quarto-") :] for path in project.glob("_quarto-*.y*ml")]
    known = {name.rsplit(".", 1)[0] for name in names}
    for name in given.replace(",", " ").split():
        if name not in known:
            raise RequestError(unknown("Quarto profile", name, known))


def main() -> int:
    """The exit status: 2 for a wrong request, else that of the run."""
    project = Path.cwd()
    try:
        check_profiles(project, os.environ.get("QUARTO_PROFILE", ""))
        python = project_python(project)
        if python is None:
            raise RequestError(NO_PYTHON)
    except RequestError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_status
    return subprocess.call([python, "-m", "analysis", "run"], cwd=project)


if __name__ == "__main__":
    sys.exit(main())
