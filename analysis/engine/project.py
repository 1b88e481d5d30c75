"""Where things lie: the project is the current folder."""

import re
from pathlib import Path

CACHE = Path("cache")
OUTPUT = Path("_output")
RESULTS = "results"
STUDIES = Path("studies")
DEFAULT_STUDY = "tiny"
STUDY_VARIABLE = "SPARSITY_STUDY"


def output_folder(study: str) -> Path:
    """Where a study's report and results go: `_output`, or `_output/NAME` for another than tiny.

    `study` is a name or a path, as in SPARSITY_STUDY; a path goes by its file's name.
    """
    if study == DEFAULT_STUDY or Path(study) == STUDIES / f"{DEFAULT_STUDY}.yml":
        return OUTPUT
    return OUTPUT / (Path(study).stem if re.search(r"[/\\]|\.ya?ml$", study) else study)


def results_folder(study: str) -> Path:
    """Where a study's result tables go."""
    return output_folder(study) / RESULTS
