"""The Python that can compute: this one, or the project's `.venv`. Standard library only.

Hooks run in whatever Python Quarto found, so this file also has to be readable by older ones.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

NEEDED = ("numpy", "yaml", "joblib", "matplotlib", "nbclient", "ipykernel", "pypdf", "lxml")
_OLDEST = (3, 11)


def missing_here() -> str:
    """What this Python lacks of what the project needs; nothing if it can run it."""
    if sys.version_info < _OLDEST:
        return f"version {_OLDEST[0]}.{_OLDEST[1]}"
    return next((name for name in NEEDED if importlib.util.find_spec(name) is None), "")


def project_python(project: Path) -> str | None:
    """The path of a Python with the project's dependencies; None if there is none."""
    if not missing_here():
        return sys.executable
    for relative in (".venv/bin/python", ".venv/Scripts/python.exe"):
        if os.access(project / relative, os.X_OK):
            return str(project / relative)
    return None


NO_PYTHON = (
    "no Python here has the project's dependencies (.venv is missing too): run `make setup`."
)
NOT_THIS_PYTHON = (
    "Quarto runs the chunks with {python}, which lacks {missing}: activate the environment first,"
    " `. .venv/bin/activate`, or set QUARTO_PYTHON=.venv/bin/python."
)
