"""Shows the page of a study's paper while it is written."""

import os
from pathlib import Path

from analysis import results, study
from analysis.engine import project
from analysis.errors import RequestError
from analysis.paper import data, facts
from analysis.rendering.execute import stamp
from analysis.rendering.made import Made
from analysis.rendering.preview import preview as shown


def preview(study_name: str, port: int | None) -> None:
    """Serve the page of the study's results until this is interrupted.

    RequestError if there are none, or none of the study as it is now: they are not computed here.
    """
    os.environ[study.VARIABLE] = study_name
    made = _Made(study_name)
    made()
    shown(Path.cwd(), made, port)


class _Made:
    """What the study's results say in _facts.yml, read anew when they change."""

    def __init__(self, study_name: str):
        self._study = study_name
        self._of: object = None
        self._made: Made = {}

    def __call__(self) -> Made:
        folder = project.results_folder(self._study)
        of = stamp(folder / results.ENVIRONMENT), study.load(self._study).text
        if of != self._of:
            self._require(folder)
            self._made, self._of = {facts.FILE: facts.metadata(data.load())}, of
        return self._made

    def _require(self, folder: Path) -> None:
        """RequestError if the paper would have to run the study first."""
        first = f"run it first, `python -m analysis run --study {self._study}`"
        if not results.exist(folder):
            raise RequestError(f"there are no results of study {self._study!r} yet: {first}")
        if not data.is_current(folder, self._study):
            raise RequestError(f"study {self._study!r} was edited after its results: {first}")
