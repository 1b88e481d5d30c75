"""What a study asks for and cannot be had, found before its first step: nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path

from analysis.data.files import file_form
from analysis.data.hub import is_cached
from analysis.data.quiet import quiet_datasets
from analysis.data.reading import Source
from analysis.errors import AnalysisError, RequestError
from analysis.hub.errors import UnreachableError, one_line_errors, quiet_client
from analysis.hub.repository import (
    Repository,
    listing,
    names,
    require_access,
    require_revision,
)
from analysis.models import hub


def missing_data(source: Source) -> str | None:
    """Why the data cannot be read, in one line with the command that fetches it; None if it can.

    `source` is as `analysis.data.reading` takes it. What a file holds is not looked at, nor
    whether a data set that is not cached has the configuration and the split.
    """
    if source["kind"] == "files":
        try:
            file_form(Path(source["path"]), source.get("format"))
        except RequestError as error:
            return str(error)
        return None
    revision, name = source.get("revision") or "main", source.get("name")
    repository = Repository(source["path"], "dataset")

    def is_there() -> bool:
        with quiet_datasets():
            return is_cached(repository, name, revision, source["split"])

    return _missing(repository, revision, is_there, lambda _: None)


def missing_model(model: str, revision: str) -> str | None:
    """Why a model (`organisation/name`) cannot be had, likewise."""
    return _missing(
        Repository(model, "model"),
        revision,
        lambda: hub.cached(model, revision) is not None,
        lambda found: hub.require_weights(model, found),
    )


def _missing(
    repository: Repository,
    revision: str,
    is_there: Callable[[], bool],
    require: Callable[[list[str]], object],
) -> str | None:
    try:
        require_revision(revision)
        if is_there():
            return None
        with quiet_client(), one_line_errors(repository, revision):
            info = listing(repository, revision)
            require_access(repository, info)
            require(names(info))
    except UnreachableError as error:
        why = f"{repository} is not cached, and {error}; with a network"
    except AnalysisError as error:
        why = f"{error}; then"
    else:
        return None
    return f"{why}: {repository.command(revision)}"
