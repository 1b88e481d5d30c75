"""A repository of the hub, as it is named; nothing is asked of a server here."""

import re
from dataclasses import dataclass
from typing import Literal

from analysis.errors import RequestError
from analysis.hub.names import why_no_name

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)[^\s\\~^:?*\[/.-][^\s\\~^:?*\[]*")  # git's rules, nearly


@dataclass(frozen=True)
class Repository:
    """`organisation/name` of a model or of a data set. Raises RequestError for what is none.

    pattern   of the paths that alone are worth fetching, if not all are
    """

    name: str
    kind: Literal["model", "dataset"]
    pattern: str = ""

    def __post_init__(self) -> None:
        if why := why_no_name(self.name, self.what):
            raise RequestError(why)

    def __str__(self) -> str:
        return self.name

    @property
    def what(self) -> str:
        return "model" if self.kind == "model" else "data set"

    def command(self, revision: str) -> str:
        """What fetches it, for a person to type."""
        data = "" if self.kind == "model" else " --repo-type dataset"
        files = f" --include '{self.pattern}'" if self.pattern else ""
        return f"hf download {self.name} --revision {revision}{data}{files}"


def is_commit(revision: str) -> bool:
    """Whether a revision is a whole commit, which never comes to mean another."""
    return _COMMIT.fullmatch(revision) is not None


def require_revision(revision: str) -> None:
    """Raise RequestError for what no branch, tag or commit is called."""
    if not _REVISION.fullmatch(revision):
        raise RequestError(f"{revision!r} is no revision; give a branch, a tag or a full commit")
