"""What has changed since a study's results were computed, found without computing anything."""

import csv
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from analysis import results
from analysis.errors import AnalysisError
from analysis.experiments import examples
from analysis.study import Study

_AGAIN = "the paper shows results from before; compute them again with `python -m analysis run`"
# the columns of table `tasks` that tell which file an example is from
_REVISIONS = {"test": "revision", "train": "training_revision"}


def lines(study: Study, folder: Path) -> list[str]:
    """A line for each input of a study that is no longer what the results in `folder` are of: its
    file, files of data, folders of models. Inputs that are elsewhere now are not missed."""
    if not results.exist(folder):
        return []
    try:
        environment = json.loads((folder / results.ENVIRONMENT).read_text(encoding="utf-8"))
        with (folder / "tasks.csv").open(encoding="utf-8", newline="") as stream:
            listed = {row["task"]: row for row in csv.DictReader(stream)}
        if environment["rehearsal"]:
            return []
        changed = [
            *([f"the study {study.name}"] if environment["study_text"] != study.text else []),
            *_data(study, listed),
            *_models(study, datetime.fromisoformat(environment["finished"]).timestamp()),
        ]
    except (OSError, ValueError, LookupError, TypeError, csv.Error):
        return []  # reading the results says what is wrong with them
    return [f"{what} has changed since the results were computed: {_AGAIN}" for what in changed]


def _data(study: Study, listed: dict[str, dict[str, str]]) -> Iterator[str]:
    from analysis.data.files import File

    for task in study.data:
        for part, column in _REVISIONS.items():
            known = listed.get(task, {}).get(column)
            where = examples.source(study, task, part) if known else None
            if where is None or not Path(where["path"]).is_file():
                continue
            try:
                same = File(Path(where["path"])).digest == known
            except AnalysisError:  # it may no longer be read
                same = False
            if not same:
                yield where["path"]


def _models(study: Study, finished: float) -> Iterator[str]:
    for model in study.models:
        folder = Path(str(model.path)).expanduser()
        if model.source == "local" and folder.is_dir():
            times = [path.stat().st_mtime for path in folder.iterdir() if path.is_file()]
            past = [at for at in times if at <= time.time()]  # what is to come tells nothing
            if max(past, default=0.0) > finished + 1:  # it is written in whole seconds
                yield str(folder)
