"""The Python that can compute: this one, or the project's `.venv`. Standard library only.

Hooks run in whatever Python Quarto found, so this file also has to be readable by older ones.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

NEEDED = ("numpy", "yaml", "joblib", "matplotlib", "nbclient", "pypdf", "lxml")


def project_python(project: Path) -> str | None:
    """The path of a Python with the project's dependencies; None if there is none."""
    if sys.version_info >= (3, 11) and all(importlib.util.find_spec(name) for name in NEEDED):
        return sys.executable
    for relative in (".venv/bin/python", ".venv/Scripts/python.exe"):
        if os.access(project / relative, os.X_OK):
            return str(project / relative)
    return None


NO_PYTHON = (
    "no Python here has the project's dependencies (.venv is missing too): run `make setup`."
)
