"""Quarto's pre-render hook: what is wrong is found first, then the study's results are computed.

Quarto runs it as a bare script in the project folder, with whatever Python it found; a non-zero
exit status stops the render.
"""

import os
import sys

sys.path[0] = os.getcwd()  # it was this folder, whose modules would hide the standard library's

import subprocess  # noqa: E402
from pathlib import Path  # noqa: E402

from analysis.engine import project as places  # noqa: E402
from analysis.errors import RequestError, RunError, unknown  # noqa: E402
from analysis.rendering import hooks  # noqa: E402


def check_profiles(project: Path, given: str) -> None:
    """RequestError if a profile in `given` has no file: Quarto would silently ignore it."""
    names = [path.name[len("_quarto-") :] for path in project.glob("_quarto-*.y*ml")]
    known = {name.rsplit(".", 1)[0] for name in names}
    for name in given.replace(",", " ").split():
        if name not in known:
            raise RequestError(unknown("Quarto profile", name, known))


def check_output(project: Path, given: str, study: str) -> None:
    """RequestError if Quarto writes to a folder (`given`) that is not the study's."""
    own = places.output_folder(study)
    if given and (project / given).resolve() != (project / own).resolve():
        shown = os.path.relpath(project / given, project)
        raise RequestError(
            f"the study is {study!r}, whose report belongs into {own}, and Quarto would write to "
            f"{shown}: choose the study by its profile alone, `quarto render --profile NAME` "
            f"without SPARSITY_STUDY, or say `quarto render --output-dir {own}`."
        )


def check_python(project: Path) -> None:
    """RequestError if this Python, which Quarto will run the chunks with, cannot run them."""
    if missing := hooks.missing_here():
        hooks.project_python(project)
        raise RequestError(
            f"Quarto runs the chunks with {sys.executable}, which lacks {missing}: activate the"
            " environment first, `. .venv/bin/activate`, or set QUARTO_PYTHON=.venv/bin/python."
        )


def check_words(project: Path) -> None:
    """RequestError for words of report.qmd that neither file would show.

    Where the document cannot be read for that, as it may go beyond what we read, this is said.
    """
    from analysis.rendering import document, markdown, vanishing  # with the Python just checked

    unread = "words that would vanish are not looked for: "
    try:
        source = document.read(project / "report.qmd")
    except RequestError as error:
        print(f"{unread}{error}", file=sys.stderr, flush=True)
        return
    try:
        vanishing.refuse_vanishing(markdown.unexecuted(source, {}), "read")
    except RunError as error:  # of pandoc
        print(f"{unread}{error}", file=sys.stderr, flush=True)


def main() -> int:
    """The exit status: 2 for a wrong request, else that of the run."""
    project, output = Path.cwd(), os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", "")
    try:
        check_profiles(project, os.environ.get("QUARTO_PROFILE", ""))
        study = os.environ.get("SPARSITY_STUDY") or places.DEFAULT_STUDY
        check_output(project, output, study)
        check_python(project)
        check_words(project)
    except RequestError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_status
    if output:
        hooks.keep(project / output)
    if not os.environ.get("SPARSITY_COMPUTED"):  # by whoever called Quarto
        status = subprocess.call([sys.executable, "-m", "analysis", "run"], cwd=project)
        if status:
            return status
    return subprocess.call([sys.executable, "-m", "analysis", "facts"], cwd=project)


if __name__ == "__main__":
    sys.exit(main())
