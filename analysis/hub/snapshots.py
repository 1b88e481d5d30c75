"""Files of a repository at one commit: in the user's own cache, or fetched into it.

Whole files that an earlier, killed download left are kept; the one it was in the middle of is
fetched again, since the client gives each attempt a file of its own and never continues one that
another process began. A connection that breaks is continued within the process, by a range.
"""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.engine.files import replace_text
from analysis.errors import RequestError, RunError
from analysis.hub.errors import (
    ROOM,
    UnreachableError,
    host,
    no_bars,
    one_line_errors,
    quiet_client,
)
from analysis.hub.repository import Repository, is_commit, require_revision

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

LOG = logging.getLogger("analysis")
Choose = Callable[[Sequence[str], Callable[[str], Path]], Sequence[str]]


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository.

    folder     where they lie
    commit     40 hexadecimal digits
    files      their paths in that folder, "sst2/test-00000-of-00001.parquet"
    is_known   whether it is known which files the commit has, those that are not wanted too
    """

    folder: Path
    commit: str
    files: Sequence[str]
    is_known: bool = True


@dataclass(frozen=True)
class Listing:
    """What the server has of a revision: its commit, and the paths of its files."""

    commit: str
    names: Sequence[str]
    gated: bool


def snapshot(repository: Repository, revision: str, choose: Choose) -> Snapshot:
    """The wanted files of a branch, tag or commit.

    A commit that is cached is not asked for again. If the server cannot be reached, what is cached
    of a branch or tag is used, with a warning in the log.

    choose   which files are wanted, of the paths of all; it may ask where one of them lies, to look
             into it

    Raises RequestError for a repository, revision or permission that does not exist, and what
    `choose` raises; RunError for a network or a disk that fails.
    """
    require_revision(revision)
    there = cached(repository, revision, choose)
    if there and there.is_known and is_commit(revision):
        return there
    with quiet_client():
        try:
            found = listing(repository, revision)
        except UnreachableError as error:
            if there is None:
                raise RunError(
                    f"{error}, and not all of {repository} at revision {revision} is cached; with a"
                    f" network: {repository.command(revision)}; or set HF_HOME to where it is"
                ) from error
            LOG.warning("%s; using %s from the cache, commit %s", error, repository, there.commit)
            return there  # the server may have a later one
        try:
            with one_line_errors(repository, revision):
                return _fetched(repository, revision, found, choose)
        except UnreachableError as error:
            raise RunError(f"{error}; run this again later, whole files are kept") from error


def cached(repository: Repository, revision: str, choose: Choose) -> Snapshot | None:
    """The same, if all of it is cached: of the commit that a branch had when it was last asked for.
    Nothing is asked of a server."""
    from huggingface_hub import HfApi, get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, RevisionResolutionError

    name, kind = repository.name, repository.kind
    local: dict[str, Any] = {"repo_type": kind, "local_files_only": True}
    with one_line_errors(repository, revision):
        try:
            commit = HfApi().resolve_revision(name, revision=revision, **local).resolved
            folder = Path(snapshot_download(name, revision=commit, allow_patterns=[], **local))
        except (RevisionResolutionError, FileNotFoundError):
            return None
        try:
            tree = get_cached_repo_tree(name, repo_type=kind, revision=commit)
            is_known, names = True, [file.path for file in tree]
        except CachedRepoTreeNotFoundError:  # cached by another program, file by file
            is_known, names = False, [p.relative_to(folder).as_posix() for p in folder.rglob("*")]
        try:
            files = choose(names, folder.joinpath)
        except (FileNotFoundError, RequestError):
            return None
    whole = all((folder / file).is_file() for file in files)
    return Snapshot(folder, commit, files, is_known) if whole else None


def listing(repository: Repository, revision: str) -> Listing:
    """What the server has. Raises UnreachableError if it cannot be asked now."""
    from huggingface_hub import HfApi, constants

    require_revision(revision)
    api, timeout_s = HfApi(), constants.HF_HUB_DOWNLOAD_TIMEOUT  # else the client waits for ever
    ask = api.model_info if repository.kind == "model" else api.dataset_info
    with one_line_errors(repository, revision):
        try:
            info = ask(repository.name, revision=revision, timeout=timeout_s)
            files = [sibling.rfilename for sibling in info.siblings or []]
            found = Listing(info.sha or "", files, bool(info.gated))
        except (json.JSONDecodeError, KeyError, TypeError):
            found = Listing("", [], False)
    if not is_commit(found.commit):
        raise RunError(
            f"{host()} does not answer as a hub does;"
            " check HF_ENDPOINT, and that no proxy or log-in page answers instead"
        )
    return found


def missing(
    repository: Repository, revision: str, choose: Choose, require: Callable[[Sequence[str]], Any]
) -> str | None:
    """Why files cannot be had, in one line with the command that fetches them; None if they can.

    choose    as of `snapshot`
    require   raises RequestError if a repository with these files will not do; none is fetched
    """
    from huggingface_hub import HfApi

    try:
        require_revision(revision)
        if cached(repository, revision, choose):
            return None
        with quiet_client(), one_line_errors(repository, revision):
            found = listing(repository, revision)
            if found.gated:  # whether this user may read it, the listing does not say
                HfApi().auth_check(repository.name, repo_type=repository.kind)
            require(found.names)
    except UnreachableError as error:
        why = f"{repository} is not cached, and {error}; with a network"
    except (RequestError, RunError) as error:
        why = f"{error}; then"
    else:
        return None
    return f"{why}: {repository.command(revision)}"


def _fetched(repository: Repository, revision: str, found: Listing, choose: Choose) -> Snapshot:
    """Download what is missing of the listed commit; note, when all is there, that it is."""
    from huggingface_hub import hf_hub_download, snapshot_download

    where: dict[str, Any] = {"repo_type": repository.kind, "revision": found.commit}

    def locate(file: str) -> Path:
        return Path(hf_hub_download(repository.name, file, **where))

    files = choose(found.names, locate)
    where["allow_patterns"] = [escape(file) for file in files]
    with no_bars():
        planned = snapshot_download(repository.name, dry_run=True, **where)
    _require_room(repository, planned)
    folder = Path(snapshot_download(repository.name, **where))
    # if the server fails it now, the client may return a folder that it could not check
    if absent := [file for file in files if not (folder / file).is_file()]:
        raise RunError(f"{repository}: {host()} did not send {absent[0]}; run this again")
    _note(folder, revision)
    return Snapshot(folder, found.commit, files)


def _note(folder: Path, revision: str) -> None:
    """Note a branch's or tag's commit where the client does, for when there is no network; the
    client itself would do so before the files of that commit are there."""
    ref = folder.parent.parent / "refs" / revision
    with suppress(OSError):  # a complete cache may be read-only
        if not is_commit(revision) and not (ref.is_file() and ref.read_text() == folder.name):
            ref.parent.mkdir(parents=True, exist_ok=True)
            replace_text(ref, folder.name)


def _require_room(repository: Repository, planned: Sequence["DryRunFileInfo"]) -> None:
    """Raise RunError if the files that are not in the cache yet are larger than the free space."""
    from huggingface_hub import constants

    needed_bytes = sum(file.file_size or 0 for file in planned if file.will_download)
    cache = Path(constants.HF_HUB_CACHE).expanduser().absolute()
    disk = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free_bytes = shutil.disk_usage(disk).free
    if needed_bytes > free_bytes:
        needs = f"{repository} needs {needed_bytes / 1e6:.1f} MB more"
        raise RunError(f"{needs}, and {disk} has {free_bytes / 1e6:.1f} MB free; {ROOM}")
