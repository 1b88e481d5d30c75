"""Checkpoints that are not trained here: from the hub, a folder of this disk, or made at random.

Files that lie elsewhere already are linked to, not copied: a checkpoint may have gigabytes.
"""

from pathlib import Path
from typing import Any

from analysis.checkpoints.config import no_model, require_no_dead_links
from analysis.checkpoints.trust import NOTE, allow
from analysis.engine.files import stamp
from analysis.engine.objects import Objects
from analysis.errors import AnalysisError, RequestError, RunError
from analysis.steps.checkpoints.builtin import checkpoint_record


def take_hub_model(
    objects: Objects, *, identifier: str, revision: str, remote_code: bool
) -> dict[str, Any]:
    """Record of a model on the hub, downloaded unless it is cached; `revision` is the commit.

    With `remote_code`, code of that commit may run where the model is opened.
    """
    from analysis.checkpoints.published import download

    found = download(identifier, revision, remote_code)
    return _linked(objects, found.folder, found.commit if remote_code else None) | {
        "source": "hub",
        "identifier": identifier,
        "revision": found.commit,
    }


def take_folder(objects: Objects, *, files: list[Any], path: str) -> dict[str, Any]:
    """Record of a saved model in the folder `path`.

    `files` is the key's stamp of it. Raises RunError if that is another by now.
    """
    folder = Path(path)
    record = _linked(objects, folder) | {"source": "local", "identifier": folder.name}
    if files and stamp(folder) != files:
        raise RunError(f"{path} changed while it was read; run again when it is finished")
    return record


def make_replica(
    objects: Objects, *, identifier: str, shape_sha256: str, form: str, seed: int, tiny: bool
) -> dict[str, Any]:
    """Record of a model of a published shape, or a toy of its kind, with random weights.

    `shape_sha256` is the key's. Raises RequestError if the shape is not known.
    """
    from analysis.replicas.replica import write_replica

    with objects.scratch() as scratch:
        folder = scratch / "checkpoint"
        write_replica(identifier, folder, form=form, seed=seed, tiny=tiny)
        return checkpoint_record(objects, folder, 0.0, {}) | {
            "source": "replica",
            "identifier": identifier,
            "revision": "tiny" if tiny else "random",
        }


def _linked(objects: Objects, folder: Path, trusted: str | None = None) -> dict[str, Any]:
    """Record of a checkpoint whose files stay where they are; its code runs if it is `trusted`."""
    require_no_dead_links(folder)
    with objects.scratch() as scratch:
        links = scratch / "checkpoint"
        links.mkdir()
        for path in folder.iterdir():
            if path.is_file() and path.name != NOTE:  # code is allowed here, never from there
                (links / path.name).symlink_to(path.resolve())
        if not (links / "config.json").exists():
            raise RequestError(
                no_model(folder)
                or f"{folder} holds no config.json; give the folder of a saved model"
            )
        if trusted is not None:
            allow(links, trusted)
        try:
            return checkpoint_record(objects, links, 0.0, {})
        except AnalysisError as error:  # in the words of who owns the folder
            raise type(error)(str(error).replace(str(links), str(folder))) from error
