"""The last good report, kept while Quarto renders: what is found faulty does not take its place.

Standard library only: the hooks run in whatever Python Quarto found.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_FOLDER = ".last-good"
_NAMES = ("report.html", "report.pdf")


def keep(output: Path) -> None:
    """Copy the finished files of the folder aside."""
    forget(output)
    for name in _NAMES:
        if (output / name).is_file():
            (output / _FOLDER).mkdir(exist_ok=True)
            shutil.copy2(output / name, output / _FOLDER / name)


def bring_back(output: Path) -> None:
    """Put the files that were kept back in their places; new ones that had none before them go."""
    for name in _NAMES:
        if (output / _FOLDER / name).is_file():
            os.replace(output / _FOLDER / name, output / name)
        else:
            (output / name).unlink(missing_ok=True)
    forget(output)


def forget(output: Path) -> None:
    """Remove what was kept."""
    shutil.rmtree(output / _FOLDER, ignore_errors=True)
