"""What Quarto's hooks do: which Python can compute, and the last good report kept meanwhile.

Standard library only, and readable by older Pythons: hooks run in whatever Python Quarto found.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from analysis.errors import RequestError

_OLDEST = (3, 11)
_NEEDED = ("numpy", "yaml", "joblib", "matplotlib", "nbclient", "ipykernel", "pypdf", "lxml")
_LAST_GOOD = ".last-good"
_NAMES = ("report.html", "report.pdf")


def missing_here() -> str:
    """What this Python lacks of what the project needs; nothing if it can run it."""
    if sys.version_info < _OLDEST:
        return f"version {_OLDEST[0]}.{_OLDEST[1]}"
    return next((name for name in _NEEDED if importlib.util.find_spec(name) is None), "")


def project_python(project: Path) -> str:
    """The path of a Python with the project's dependencies: this one, or that of `.venv`."""
    if not missing_here():
        return sys.executable
    for relative in (".venv/bin/python", ".venv/Scripts/python.exe"):
        if os.access(project / relative, os.X_OK):
            return str(project / relative)
    raise RequestError(
        "no Python here has the project's dependencies (.venv is missing too): run `make setup`."
    )


def keep(output: Path) -> None:
    """Copy the finished files of the folder aside: what is found faulty does not replace them."""
    forget(output)
    for name in _NAMES:
        if (output / name).is_file():
            (output / _LAST_GOOD).mkdir(exist_ok=True)
            shutil.copy2(output / name, output / _LAST_GOOD / name)


def bring_back(output: Path) -> None:
    """Put the files that were kept back in their places; new ones that had none before them go."""
    for name in _NAMES:
        if (output / _LAST_GOOD / name).is_file():
            os.replace(output / _LAST_GOOD / name, output / name)
        else:
            (output / name).unlink(missing_ok=True)
    forget(output)


def forget(output: Path) -> None:
    """Remove what was kept."""
    shutil.rmtree(output / _LAST_GOOD, ignore_errors=True)
