"""A model's weights, config and tokenizer from the hub, in the user's own cache, at one commit.

Whole files that an earlier, killed download left are kept; the one it was in the middle of is
fetched again, since the client gives each attempt a file of its own and never continues one.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import RequestError, RunError
from analysis.files import replace_text
from analysis.models.checkpoint import PICKLE, SAFETENSORS
from analysis.models.hub_errors import ROOM, UnreachableError, host, one_line_errors, quiet_client

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

LOG = logging.getLogger("analysis")
# the first that a repository has is the one set of weights that is fetched
WEIGHTS = (SAFETENSORS, f"{SAFETENSORS}.index.json", PICKLE, f"{PICKLE}.index.json")
# config and tokenizer, in the repository's own folder only
SMALL = (
    *("config.json", "generation_config.json", "tokenizer*.json", "special_tokens_map.json"),
    *("added_tokens.json", "chat_template.*", "vocab.*", "merges.txt", "*.model", "*.spm"),
)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)[^\s\\~^:?*\[/.-][^\s\\~^:?*\[]*")  # git's rules, nearly
_BESIDE = re.compile(r"[\w-][\w.-]*")  # a file beside its index, where it is looked for
_ELSEWHERE = "choose another revision or repository"


@dataclass(frozen=True)
class Download:
    """Where a model's files lie, and the commit they are from (40 hexadecimal digits)."""

    folder: Path
    commit: str


def download(model: str, revision: str | None = None) -> Download:
    """The files of `model` (`organisation/name`) at a branch, tag or commit; default: main.

    If the server cannot be reached, what is cached of that revision, with a warning in the log.

    Raises RequestError for a model, revision or permission that does not exist, and for a
    repository without usable weights; RunError for a network or a disk that fails.
    """
    revision = "main" if revision is None else revision
    if not _REVISION.fullmatch(revision):
        raise RequestError(f"{revision!r} is no revision; give a branch, a tag or a full commit")
    with quiet_client():
        try:
            with one_line_errors(model, revision):
                info = _listing(model, revision)
        except UnreachableError as error:
            return _cached_instead(model, revision, error)
        try:
            with one_line_errors(model, revision):
                return _fetched(model, revision, info)
        except UnreachableError as error:
            raise RunError(f"{error}; run this again later, whole files are kept") from error


def _listing(model: str, revision: str) -> "ModelInfo":
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(model)
    timeout_s = constants.HF_HUB_DOWNLOAD_TIMEOUT  # left alone, the client waits for ever
    try:
        info = HfApi().model_info(model, revision=revision, files_metadata=True, timeout=timeout_s)
    except (json.JSONDecodeError, KeyError, TypeError):
        info = None
    if info is None or not _COMMIT.fullmatch(info.sha or ""):
        raise RunError(
            f"{host()} does not answer as a hub does;"
            " check HF_ENDPOINT, and that no proxy or log-in page answers instead"
        )
    return info


def _fetched(model: str, revision: str, info: "ModelInfo") -> Download:
    """Download what is missing of the listed commit; note, when all is there, that it is."""
    from huggingface_hub import constants, hf_hub_download, snapshot_download
    from huggingface_hub.file_download import repo_folder_name

    commit = str(info.sha)
    storage = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=model, repo_type="model"))
    names = [sibling.rfilename for sibling in info.siblings or []]
    files = _chosen(model, names, lambda file: Path(hf_hub_download(model, file, revision=commit)))
    _require_room(model, storage, info, files)
    patterns = [escape(file) for file in files]
    folder = Path(snapshot_download(model, revision=commit, allow_patterns=patterns))
    # if the server fails it now, the client may return a folder that it could not check
    if absent := [file for file in files if not (folder / file).is_file()]:
        raise RunError(f"{model}: {host()} did not send {absent[0]}; run this again")
    _note(storage, revision, commit)
    return Download(folder, commit)


def _cached_instead(model: str, revision: str, error: UnreachableError) -> Download:
    """What is cached of that revision, if it is complete; the server may have a later one."""
    found = _cached(model, revision)
    if found is None:
        raise RunError(
            f"{error}, and not all of {model} at revision {revision} is cached; try again with a"
            " network (HF_HUB_OFFLINE unset, HF_ENDPOINT right), or set HF_HOME to where it is"
        ) from error
    LOG.warning("%s; using %s from the cache, commit %s", error, model, found.commit)
    return found


def _cached(model: str, revision: str) -> Download | None:
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        cached = snapshot_download(
            model, revision=revision, local_files_only=True, allow_patterns=[]
        )
        folder = Path(cached)
        try:
            names = [file.path for file in get_cached_repo_tree(model, revision=folder.name)]
        except CachedRepoTreeNotFoundError:  # cached by another program, file by file
            names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
        files = _chosen(model, names, lambda file: folder / file)
    except (FileNotFoundError, RequestError):
        return None
    complete = all((folder / file).is_file() for file in files)
    return Download(folder, folder.name) if complete else None


# ---------------------------------------------------------------- which files


def _chosen(model: str, names: Collection[str], locate: Callable[[str], Path]) -> list[str]:
    """Of a repository's files those to fetch, sorted; `locate` gives the path of an index."""
    first = next((name for name in WEIGHTS if name in names), None)
    if first is None:
        raise RequestError(
            f"{model} has no weights that can be read: neither {WEIGHTS[0]} nor {WEIGHTS[2]}, whole"
            f" or in shards with their index; {_ELSEWHERE}"
        )
    weights = {first}
    if first.endswith(".index.json"):
        weights |= _shards(model, first, locate(first).read_bytes())
    if absent := sorted(weights.difference(names)):
        raise RequestError(
            f"{model}: {first} names {absent[0]!r}, which is not there; {_ELSEWHERE}"
        )
    small = {name for name in names if "/" not in name and any(fnmatchcase(name, p) for p in SMALL)}
    return sorted(weights | small)


def _shards(model: str, index: str, content: bytes) -> set[str]:
    """The files that an index names; RequestError if one would lie outside the repository."""
    try:
        shards = set(json.loads(content)["weight_map"].values())
        outside = sorted(shard for shard in shards if not _BESIDE.fullmatch(shard))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{model}: {index} does not say in which file each tensor is; {_ELSEWHERE}"
        ) from error
    if outside:
        raise RequestError(
            f"{model}: {index} names {outside[0]!r}, which is no file beside it;"
            f" do not trust it, {_ELSEWHERE}"
        )
    return shards


# ---------------------------------------------------------------- the cache


def _require_room(model: str, storage: Path, info: "ModelInfo", files: Collection[str]) -> None:
    """Raise RunError if the files that are not in the cache yet are larger than the free space."""
    there = [storage / "snapshots" / str(info.sha), storage / "blobs"]
    missing_bytes = 0
    for file in info.siblings or []:
        blob = file.lfs.sha256 if file.lfs else str(file.blob_id)
        cached = (there[0] / file.rfilename).exists() or (there[1] / blob).exists()
        missing_bytes += 0 if cached or file.rfilename not in files else file.size or 0
    disk = next(folder for folder in storage.absolute().parents if folder.is_dir())
    free_bytes = shutil.disk_usage(disk).free
    if missing_bytes > free_bytes:
        needs = f"{model} needs {missing_bytes / 1e6:.1f} MB more"
        raise RunError(f"{needs}, and {disk} has {free_bytes / 1e6:.1f} MB free; {ROOM}")


def _note(storage: Path, revision: str, commit: str) -> None:
    """Note a branch's or tag's commit where the client does, for when there is no network."""
    ref = storage / "refs" / revision
    with suppress(OSError):  # a complete cache may be read-only
        if revision != commit and not (ref.is_file() and ref.read_text() == commit):
            ref.parent.mkdir(parents=True, exist_ok=True)
            replace_text(ref, commit)
