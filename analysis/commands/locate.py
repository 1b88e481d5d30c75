"""Where a model that a command names comes from: built in, a local folder, or the hub."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from analysis.checkpoints.config import require_no_dead_links
from analysis.engine.memo import Memo
from analysis.errors import RequestError, RunError, unknown
from analysis.experiments import checkpoints
from analysis.hub.names import why_no_name
from analysis.models.catalogue import BUILTIN

_ALIKE = 0.7  # a name this near a built-in one is a misspelling of it


@dataclass(frozen=True)
class Located:
    """A checkpoint's folder on this disk, and what the model is called.

    source    "builtin", "local" or "hub"
    revision  the commit of a hub model, else empty
    """

    name: str
    source: str
    revision: str
    folder: Path


def locate(model: str, revision: str | None, memo: Memo) -> Located:
    """The checkpoint of that name, trained or downloaded if it is not there yet.

    Raises RequestError if there is no such model, RunError if it cannot be had now.
    """
    try:
        path = Path(model).expanduser()
        there = bool(model) and path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a null
        raise RequestError(f"{model!r} names no model: {error}; give a folder or a name") from error
    if model in BUILTIN or there:
        require_no_revision(model, revision)
        return _built_in(model, memo) if model in BUILTIN else _local(path)
    if why := why_no_name(model, "model"):
        raise RequestError(
            f"no folder {model}, and {why}; or give a folder of this disk, or a built-in model"
            f" ({', '.join(BUILTIN)})"
        )
    from analysis.checkpoints.published import download

    if "/" not in model and difflib.get_close_matches(model.lower(), BUILTIN, cutoff=_ALIKE):
        raise RequestError(unknown("built-in model", model.lower(), BUILTIN))
    try:
        found = download(model, revision)
    except (RequestError, RunError) as error:
        raise type(error)(f"there is no folder {model} here, and on the hub: {error}") from error
    return Located(model, "hub", found.commit, found.folder)


def require_no_revision(model: str, revision: str | None) -> None:
    """Raise RequestError if a revision is asked of a built-in model or a local folder."""
    if revision is not None:
        raise RequestError(
            f"--revision {revision} was given for {model}, which is"
            f" {'built in' if model in BUILTIN else 'a local folder'}; only models on the hub"
            " have revisions: leave it out"
        )


def _built_in(name: str, memo: Memo) -> Located:
    """As the built-in study trains it: with its first seed, on one thread."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # nothing is downloaded; saving has bars too
    record = memo.run(checkpoints.pretrain(name, seed=0, threads=1)).record
    return Located(name, "builtin", "", memo.objects.open(record["checkpoint"]["object"]))


def _local(path: Path) -> Located:
    if not path.is_dir():
        raise RequestError(f"{path} is a file; give the folder that it lies in")
    require_no_dead_links(path)
    return Located(path.resolve().name, "local", "", path.resolve())
