"""The files of one split of a data set of the hub, at one commit, in the user's own cache.

Which files those are, a task says, by a pattern of their paths: the data set's own card is not
asked, no other split is fetched, and nothing of the repository runs.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from analysis.errors import RequestError, unknown
from analysis.hub.repository import Repository
from analysis.hub.snapshots import Snapshot, missing, snapshot

_SHARDS = re.compile(r"-of-(\d+)\b")  # "test-00000-of-00002.parquet"


def split_files(source: Mapping[str, Any]) -> Snapshot:
    """The files of a split, in the order of their names.

    `source` is as `analysis.data.reading` takes it. Raises as `analysis.hub.snapshots.snapshot`,
    and RequestError for a revision that has no such files, or not all of them.
    """
    return snapshot(_repository(source), _revision(source), partial(_chosen, source))


def missing_split(source: Mapping[str, Any]) -> str | None:
    """Why its files cannot be had, in one line with the command that fetches them; None if they
    can. Nothing is downloaded."""
    chosen = partial(_chosen, source)
    return missing(_repository(source), _revision(source), chosen, chosen)


def _repository(source: Mapping[str, Any]) -> Repository:
    return Repository(source["path"], "dataset", source["files"])


def _revision(source: Mapping[str, Any]) -> str:
    return source.get("revision") or "main"


def _chosen(source: Mapping[str, Any], names: Sequence[str], _locate: object = None) -> list[str]:
    """Those of a repository's files that are the split's."""
    found = sorted(name for name in names if fnmatchcase(name, source["files"]))
    if not found:
        raise RequestError(unknown(f"file of {source['path']}:", source["files"], names))
    shards = _SHARDS.search(found[0])
    if shards and int(shards[1]) != len(found):
        raise RequestError(
            f"{source['path']} has {len(found)} of {int(shards[1])} files {source['files']};"
            " choose another revision"
        )
    return found
