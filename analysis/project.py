"""Where things lie: the project is the current folder."""

import re
from pathlib import Path

from analysis.study import DEFAULT

CACHE = Path("cache")
OUTPUT = Path("_output")


def output_folder(study: str) -> Path:
    """Where a study's report and results go: `_output`, or `_output/NAME` for another than tiny.

    `study` is a name or a path, as in SPARSITY_STUDY.
    """
    name = Path(study).stem if re.search(r"[/\\]|\.ya?ml$", study) else study
    return OUTPUT if name == DEFAULT else OUTPUT / name


def results_folder(study: str) -> Path:
    """Where a study's result tables go."""
    return output_folder(study) / "results"
