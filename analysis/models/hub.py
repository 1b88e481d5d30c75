"""A model's weights, config and tokenizer from the hub, in the user's own cache, at one commit."""

import json
import logging
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import RequestError, RunError
from analysis.hub.errors import UnreachableError, one_line_errors, quiet_client
from analysis.hub.repository import (
    Repository,
    cached_folder,
    cached_names,
    fetch,
    listing,
    names,
    note,
    require_revision,
)
from analysis.models.checkpoint import PICKLE, SAFETENSORS
from analysis.models.config import read_config

if TYPE_CHECKING:
    from analysis.hub.repository import Info

LOG = logging.getLogger("analysis")
# the first that a repository has is the one set of weights that is fetched
WEIGHTS = (SAFETENSORS, f"{SAFETENSORS}.index.json", PICKLE, f"{PICKLE}.index.json")
# config and tokenizer, in the repository's own folder only
SMALL = (
    *("config.json", "generation_config.json", "tokenizer*.json", "special_tokens_map.json"),
    *("added_tokens.json", "chat_template.*", "vocab.*", "merges.txt", "*.model", "*.spm"),
)
CODE = ("*.py",)

_BESIDE = re.compile(r"[\w-][\w.-]*")  # a file beside its index, where it is looked for
_ELSEWHERE = "choose another revision or repository"


@dataclass(frozen=True)
class Download:
    """Where a model's files lie, and the commit they are from (40 hexadecimal digits)."""

    folder: Path
    commit: str


def download(model: str, revision: str | None = None, code: bool = False) -> Download:
    """The files of `model` (`organisation/name`) at a branch, tag or commit; default: main.

    If the server cannot be reached, what is cached of that revision, with a warning in the log.
    With `code` the Python files of the repository too: they are fetched, and nothing runs them.

    Raises RequestError for a model, revision or permission that does not exist, and for a
    repository without usable weights; RunError for a network or a disk that fails.
    """
    revision = "main" if revision is None else revision
    require_revision(revision)
    repository = Repository(model, "model")
    with quiet_client():
        try:
            with one_line_errors(repository, revision):
                info = listing(repository, revision)
        except UnreachableError as error:
            return _cached_instead(model, revision, error, code)
        try:
            with one_line_errors(repository, revision):
                return _fetched(repository, revision, info, code)
        except UnreachableError as error:
            raise RunError(f"{error}; run this again later, whole files are kept") from error


def config_of(model: str, revision: str) -> dict[str, Any]:
    """What a model's config.json says; no weights are fetched. Errors as of `download`."""
    from huggingface_hub import hf_hub_download

    require_revision(revision)
    repository = Repository(model, "model")
    with quiet_client():
        try:
            with one_line_errors(repository, revision):
                info = listing(repository, revision)
                path = Path(hf_hub_download(model, "config.json", revision=str(info.sha)))
        except UnreachableError as error:
            folder = cached_folder(repository, revision)
            if folder is None or not (folder / "config.json").is_file():
                raise
            LOG.warning("%s; using %s from the cache, commit %s", error, model, folder.name)
            path = folder / "config.json"
    try:
        return read_config(path)
    except RequestError as error:
        raise RequestError(f"{model}: {error}; {_ELSEWHERE}") from error


def cached(model: str, revision: str, code: bool = False) -> Download | None:
    """What is cached of that revision, if it is complete; nothing is asked of a server."""
    repository = Repository(model, "model")
    folder = cached_folder(repository, revision)
    if folder is None:
        return None
    found = cached_names(repository, folder)
    if found is None:
        found = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    try:
        files = _chosen(model, found, lambda file: folder / file, code)
    except (FileNotFoundError, RequestError):
        return None
    complete = all((folder / file).is_file() for file in files)
    return Download(folder, folder.name) if complete else None


def _fetched(repository: Repository, revision: str, info: "Info", code: bool) -> Download:
    """Download what is missing of the listed commit; note, when all is there, that it is."""
    from huggingface_hub import hf_hub_download

    model, commit = repository.name, str(info.sha)
    files = _chosen(
        model,
        names(info),
        lambda file: Path(hf_hub_download(model, file, revision=commit)),
        code,
    )
    folder = fetch(repository, info, files)
    note(repository, revision, commit)
    return Download(folder, commit)


def _cached_instead(model: str, revision: str, error: UnreachableError, code: bool) -> Download:
    """What is cached of that revision, if it is complete; the server may have a later one."""
    found = cached(model, revision, code)
    if found is None:
        raise RunError(
            f"{error}, and not all of {model} at revision {revision} is cached; try again with a"
            " network (HF_HUB_OFFLINE unset, HF_ENDPOINT right), or set HF_HOME to where it is"
        ) from error
    LOG.warning("%s; using %s from the cache, commit %s", error, model, found.commit)
    return found


# ---------------------------------------------------------------- which files


def require_weights(model: str, names: Collection[str]) -> str:
    """The file of weights to read, or their index. Raises RequestError if none can be read."""
    first = next((name for name in WEIGHTS if name in names), None)
    if first is None:
        raise RequestError(
            f"{model} has no weights that can be read: neither {WEIGHTS[0]} nor {WEIGHTS[2]}, whole"
            f" or in shards with their index; {_ELSEWHERE}"
        )
    return first


def _chosen(
    model: str, names: Collection[str], locate: Callable[[str], Path], code: bool
) -> list[str]:
    """Of a repository's files those to fetch, sorted; `locate` gives the path of an index."""
    first = require_weights(model, names)
    weights = {first}
    if first.endswith(".index.json"):
        weights |= _shards(model, first, locate(first).read_bytes())
    if absent := sorted(weights.difference(names)):
        raise RequestError(
            f"{model}: {first} names {absent[0]!r}, which is not there; {_ELSEWHERE}"
        )
    wanted = (*SMALL, *(CODE if code else ()))
    small = {n for n in names if "/" not in n and any(fnmatchcase(n, p) for p in wanted)}
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
