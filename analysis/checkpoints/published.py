"""A model's weights, config and tokenizer from the hub, in the user's own cache, at one commit."""

import json
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from analysis.checkpoints.checkpoint import PICKLE, SAFETENSORS
from analysis.checkpoints.config import CONFIG, read_config
from analysis.errors import RequestError
from analysis.hub.repository import Repository
from analysis.hub.snapshots import Snapshot, missing, snapshot

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


def download(model: str, revision: str | None = None, code: bool = False) -> Snapshot:
    """The files of `model` (`organisation/name`) at a branch, tag or commit; default: main.

    With `code` the Python files of the repository too: they are fetched, and nothing runs them.

    Raises as `analysis.hub.snapshots.snapshot`, and RequestError for a repository without usable
    weights.
    """
    revision = "main" if revision is None else revision
    return snapshot(Repository(model, "model"), revision, partial(_chosen, model, code))


def missing_model(model: str, revision: str) -> str | None:
    """Why a model cannot be had, in one line with the command that fetches it; None if it can.
    Nothing is downloaded."""
    return missing(
        Repository(model, "model"),
        revision,
        partial(_chosen, model, False),
        partial(_require_weights, model),
    )


def config_of(model: str, revision: str) -> dict[str, Any]:
    """What a model's config.json says; no weights are fetched. Errors as of `download`."""

    def chosen(names: Sequence[str], _: object) -> list[str]:
        if CONFIG not in names:
            raise RequestError(f"{model} has no {CONFIG}; {_ELSEWHERE}")
        return [CONFIG]

    found = snapshot(Repository(model, "model"), revision, chosen)
    try:
        return read_config(found.folder / CONFIG)
    except RequestError as error:
        raise RequestError(f"{model}: {error}; {_ELSEWHERE}") from error


def _require_weights(model: str, names: Sequence[str]) -> str:
    """The file of weights to read, or their index. Raises RequestError if none can be read."""
    first = next((name for name in WEIGHTS if name in names), None)
    if first is None:
        raise RequestError(
            f"{model} has no weights that can be read: neither {WEIGHTS[0]} nor {WEIGHTS[2]}, whole"
            f" or in shards with their index; {_ELSEWHERE}"
        )
    return first


def _chosen(
    model: str, code: bool, names: Sequence[str], locate: Callable[[str], Path]
) -> list[str]:
    """Of a repository's files those to fetch, sorted; `locate` gives the path of an index."""
    first = _require_weights(model, names)
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
