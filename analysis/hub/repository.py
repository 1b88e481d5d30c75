"""A repository of the hub: what it lists, what of it is in the user's own cache, and fetching it.

Whole files that an earlier, killed download left are kept; the one it was in the middle of is
fetched again, since the client gives each attempt a file of its own and never continues one that
another process began. A connection that breaks is continued within the process, by a range.
"""

import json
import re
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analysis.errors import RequestError, RunError
from analysis.files import replace_text
from analysis.hub.errors import ROOM, host
from analysis.hub.names import why_no_name

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, ModelInfo

    Info = ModelInfo | DatasetInfo

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)[^\s\\~^:?*\[/.-][^\s\\~^:?*\[]*")  # git's rules, nearly


@dataclass(frozen=True)
class Repository:
    """`organisation/name` of a model or of a data set. Raises RequestError for what is none."""

    name: str
    kind: Literal["model", "dataset"]

    def __post_init__(self) -> None:
        if why := why_no_name(self.name, self.what):
            raise RequestError(why)

    def __str__(self) -> str:
        return self.name

    @property
    def what(self) -> str:
        return "model" if self.kind == "model" else "data set"

    def command(self, revision: str) -> str:
        """What fetches all of it, for a person to type."""
        data = "" if self.kind == "model" else " --repo-type dataset"
        return f"hf download {self.name} --revision {revision}{data}"

    @property
    def storage(self) -> Path:
        """Where the client keeps it, whether it is there or not."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        folder = repo_folder_name(repo_id=self.name, repo_type=self.kind)
        return Path(constants.HF_HUB_CACHE, folder)


def is_commit(revision: str) -> bool:
    """Whether a revision is a whole commit, which never comes to mean another."""
    return _COMMIT.fullmatch(revision) is not None


def require_revision(revision: str) -> None:
    """Raise RequestError for what no branch, tag or commit is called."""
    if not _REVISION.fullmatch(revision):
        raise RequestError(f"{revision!r} is no revision; give a branch, a tag or a full commit")


def listing(repository: Repository, revision: str) -> "Info":
    """What the server has of that revision: its commit, and its files with their sizes."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repository.name)
    timeout_s = constants.HF_HUB_DOWNLOAD_TIMEOUT  # left alone, the client waits for ever
    api = HfApi()
    ask = api.model_info if repository.kind == "model" else api.dataset_info
    try:
        info = ask(repository.name, revision=revision, files_metadata=True, timeout=timeout_s)
    except (json.JSONDecodeError, KeyError, TypeError):
        info = None
    if info is None or not is_commit(info.sha or ""):
        raise RunError(
            f"{host()} does not answer as a hub does;"
            " check HF_ENDPOINT, and that no proxy or log-in page answers instead"
        )
    return info


def require_access(repository: Repository, info: "Info") -> None:
    """Ask whether this user may read a gated repository, as the listing alone does not say."""
    from huggingface_hub import HfApi

    if info.gated:
        HfApi().auth_check(repository.name, repo_type=repository.kind)


def names(info: "Info") -> list[str]:
    """The paths of the listed files."""
    return [sibling.rfilename for sibling in info.siblings or []]


def fetch(repository: Repository, info: "Info", files: Sequence[str]) -> Path:
    """The folder of the listed commit, after downloading what it lacks of `files`.

    Raises RunError, before downloading, if there is not the room for them.
    """
    from huggingface_hub import snapshot_download

    _require_room(repository, info, files)
    patterns = [escape(file) for file in files]
    folder = Path(
        snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=str(info.sha),
            allow_patterns=patterns,
        )
    )
    # if the server fails it now, the client may return a folder that it could not check
    if absent := [file for file in files if not (folder / file).is_file()]:
        raise RunError(f"{repository}: {host()} did not send {absent[0]}; run this again")
    return folder


def cached_folder(repository: Repository, revision: str) -> Path | None:
    """The folder in the cache of a revision as it was last seen: its name is the commit."""
    commit = cached_commit(repository, revision)
    folder = repository.storage / "snapshots" / commit if commit else None
    return folder if folder and folder.is_dir() else None


def cached_commit(repository: Repository, revision: str) -> str | None:
    """The commit that a branch or tag had when it was last asked for."""
    if is_commit(revision):
        return revision
    with suppress(OSError):
        commit = (repository.storage / "refs" / revision).read_text(encoding="utf-8").strip()
        return commit if is_commit(commit) else None
    return None


def cached_names(repository: Repository, folder: Path) -> list[str] | None:
    """The paths of all files of a cached commit, there or not; None if they are not known."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        tree = get_cached_repo_tree(
            repository.name, repo_type=repository.kind, revision=folder.name
        )
    except CachedRepoTreeNotFoundError:  # cached by another program, file by file
        return None
    return [file.path for file in tree]


def note(repository: Repository, revision: str, commit: str) -> None:
    """Note a branch's or tag's commit where the client does, for when there is no network."""
    ref = repository.storage / "refs" / revision
    with suppress(OSError):  # a complete cache may be read-only
        if revision != commit and not (ref.is_file() and ref.read_text() == commit):
            ref.parent.mkdir(parents=True, exist_ok=True)
            replace_text(ref, commit)


def _require_room(repository: Repository, info: "Info", files: Collection[str]) -> None:
    """Raise RunError if the files that are not in the cache yet are larger than the free space."""
    storage = repository.storage
    there = [storage / "snapshots" / str(info.sha), storage / "blobs"]
    missing_bytes = 0
    for file in info.siblings or []:
        blob = file.lfs.sha256 if file.lfs else str(file.blob_id)
        cached = (there[0] / file.rfilename).exists() or (there[1] / blob).exists()
        missing_bytes += 0 if cached or file.rfilename not in files else file.size or 0
    disk = next(folder for folder in storage.absolute().parents if folder.is_dir())
    free_bytes = shutil.disk_usage(disk).free
    if missing_bytes > free_bytes:
        needs = f"{repository} needs {missing_bytes / 1e6:.1f} MB more"
        raise RunError(f"{needs}, and {disk} has {free_bytes / 1e6:.1f} MB free; {ROOM}")
