"""One split of a data set of the hub, at one commit, in the user's own cache.

The library `datasets` prepares every split of a configuration at once, which for a translation
corpus is gigabytes to read three thousand sentences. Here only the files of the wanted split are
fetched and prepared. What the library itself has prepared, or `hf download` has fetched whole, is
used as it is. Never is another commit taken than the one that was asked for: the library, left
alone, answers from whatever it prepared last when the server fails it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.data.quiet import quiet_datasets
from analysis.errors import RequestError, RunError, unknown
from analysis.files import passing_folder
from analysis.hub.errors import UnreachableError, one_line_errors, quiet_client
from analysis.hub.repository import (
    Repository,
    cached_commit,
    cached_folder,
    cached_names,
    fetch,
    is_commit,
    listing,
    names,
    note,
    require_revision,
)

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder

    from analysis.hub.repository import Info

LOG = logging.getLogger("analysis")
_CARD = "README.md"


@contextmanager
def opened_split(
    path: str, name: str | None, revision: str, split: str
) -> Iterator[tuple["Dataset", str]]:
    """The rows of a split, and their commit.

    A whole commit that is cached is not asked for again. If the server cannot be reached, what is
    cached of a branch or tag is used, with a warning in the log.

    Raises RequestError for a data set, configuration, split, revision or permission that does not
    exist; RunError for a network or a disk that fails.
    """
    require_revision(revision)
    repository = Repository(path, "dataset")
    with quiet_client(), quiet_datasets(), passing_folder("analysis-data") as scratch:
        yield _found(repository, name, revision, split, scratch)


def is_cached(repository: Repository, name: str | None, revision: str, split: str) -> bool:
    """Whether a split of a revision can be read without a server; nothing is read or asked."""
    commit = cached_commit(repository, revision)
    if commit is None:
        return False
    there = _prepared(repository, name, commit, split) is not None
    return there or _whole_snapshot(repository, commit) is not None


def _found(
    repository: Repository, name: str | None, revision: str, split: str, scratch: Path
) -> tuple["Dataset", str]:
    if is_commit(revision):
        cached = _cached(repository, name, revision, split, scratch)
        if cached is not None:
            return cached, revision
    try:
        with one_line_errors(repository, revision):
            info = listing(repository, revision)
    except UnreachableError as error:
        return _cached_instead(repository, name, revision, split, scratch, error)
    commit = str(info.sha)
    found = _cached(repository, name, commit, split, scratch)
    try:
        found = _fetched(repository, name, info, split) if found is None else found
    except UnreachableError as error:
        raise RunError(f"{error}; run this again later, whole files are kept") from error
    note(repository, revision, commit)
    return found, commit


def _cached_instead(
    repository: Repository,
    name: str | None,
    revision: str,
    split: str,
    scratch: Path,
    error: UnreachableError,
) -> tuple["Dataset", str]:
    """What is cached of that revision; the server may have a later one."""
    commit = cached_commit(repository, revision)
    found = None if commit is None else _cached(repository, name, commit, split, scratch)
    if commit is None or found is None:
        raise RunError(
            f"{error}, and {split} of {repository} at revision {revision} is not cached; with a"
            f" network: {repository.command(revision)}; or set HF_HOME to where it is"
        ) from error
    LOG.warning("%s; using %s from the cache, commit %s", error, repository, commit)
    return found, commit


# ---------------------------------------------------------------- what is there


def _cached(
    repository: Repository, name: str | None, commit: str, split: str, scratch: Path
) -> "Dataset | None":
    """A split of that commit that is on this disk, whoever prepared or fetched it."""
    found = _prepared(repository, name, commit, split)
    if found is None:
        found = _from_snapshot(repository, name, commit, split, scratch)
    return found


def _own_cache(split: str) -> Path:
    """Where single splits lie, apart from what the library prepares whole."""
    import datasets

    return Path(datasets.config.HF_DATASETS_CACHE).expanduser() / "single-splits" / split


def _prepared(
    repository: Repository, name: str | None, commit: str, split: str
) -> "Dataset | None":
    """What the library has prepared of exactly that commit, here or for another program.

    Without a name, which of several configurations is meant is not ours to say. The cache may be
    one that cannot be written, and the library's own way in would lock it.
    """
    import datasets
    import pyarrow
    from datasets.arrow_reader import ArrowReader
    from datasets.naming import camelcase_to_snakecase

    *space, last = repository.name.split("/")
    folder = "___".join([*space, camelcase_to_snakecase(last)])
    for cache in (_own_cache(split), Path(datasets.config.HF_DATASETS_CACHE).expanduser()):
        within = f"{escape(name) if name else '*'}/*/{commit}/dataset_info.json"
        found = [path.parent for path in (cache / folder).glob(within)]
        if len(found) != 1:
            continue
        try:
            info = datasets.DatasetInfo.from_directory(str(found[0]))
            if split in (info.splits or {}):
                table = ArrowReader(str(found[0]), info).read(
                    info.dataset_name, split, info.splits.values()
                )
                return datasets.Dataset(**table)
        except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
            raise RunError(f"{found[0]} is damaged; remove it and run this again") from error
    return None


def _from_snapshot(
    repository: Repository, name: str | None, commit: str, split: str, scratch: Path
) -> "Dataset | None":
    """What was fetched of a commit file by file, read into an empty folder."""
    folder = _whole_snapshot(repository, commit)
    if folder is None:
        return None
    with one_line_errors(repository, commit):
        builder = _builder(repository, str(folder), name, None, scratch)
        _narrow(repository, builder, split)
        _prepare(repository, builder, split)
        return builder.as_dataset(split=split)


def _whole_snapshot(repository: Repository, commit: str) -> Path | None:
    """The folder of a commit if all of its files are there: which a split needs is not known."""
    folder = cached_folder(repository, commit)
    listed = cached_names(repository, folder) if folder else None
    whole = folder and listed and all((folder / file).is_file() for file in listed)
    return folder if whole else None


# ---------------------------------------------------------------- what has to be fetched


def _fetched(repository: Repository, name: str | None, info: "Info", split: str) -> "Dataset":
    """Fetch the files of a split of the listed commit, and prepare it."""
    commit = str(info.sha)
    with one_line_errors(repository, commit):
        if _CARD in names(info):  # the library hides why it cannot have it
            fetch(repository, info, [_CARD])
        remote = f"hf://datasets/{repository.name}"
        builder = _builder(repository, remote, name, commit, _own_cache(split))
        rows = _narrow(repository, builder, split)
        beginning = f"{remote}@{commit}/"
        files = [str(url).removeprefix(beginning) for url in builder.config.data_files[split]]
        folder = fetch(repository, info, files)
        builder.config.data_files = {split: [str(folder / file) for file in files]}
        _prepare(repository, builder, split)
        found = builder.as_dataset(split=split)
        if rows is not None and len(found) != rows:
            raise RunError(f"{repository}: {split} has {len(found)} rows, its card says {rows}")
        return found


def _builder(
    repository: Repository, where: str, name: str | None, commit: str | None, cache: Path
) -> "DatasetBuilder":
    """The library's reader of a configuration: nothing but the card is fetched for it."""
    import datasets

    try:
        builder = datasets.load_dataset_builder(where, name, revision=commit, cache_dir=str(cache))
    except ValueError as error:
        configurations = datasets.get_dataset_config_names(where, revision=commit)
        if name in configurations:
            raise
        raise RequestError(
            unknown(f"configuration of {repository}:", name or "", configurations)
        ) from error
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        raise RequestError(
            f"{repository} is a program, not files; its revision refs/convert/parquet may do"
        ) from error
    except (
        datasets.exceptions.DataFilesNotFoundError,
        datasets.data_files.EmptyDatasetError,
    ) as error:
        raise RequestError(
            f"{repository} has no files of data that can be read; choose another data set"
        ) from error
    if commit is not None and builder.hash != commit:
        raise RunError(f"{repository} did not arrive whole; run this again")
    return builder


def _narrow(repository: Repository, builder: "DatasetBuilder", split: str) -> int | None:
    """Let the reader have one split alone; how many rows the card says it has, if it says so.

    Raises RequestError if there is none of that name.
    """
    files = builder.config.data_files
    if split not in files:
        raise RequestError(unknown(f"split of {repository}:", split, map(str, files)))
    builder.config.data_files = {split: files[split]}
    known = (builder.info.splits or {}).get(split)
    # the library would make room for all splits, and look for them all
    builder.info.splits = None
    builder.info.download_size = builder.info.dataset_size = None
    return known.num_examples if known else None


def _prepare(repository: Repository, builder: "DatasetBuilder", split: str) -> None:
    """Turn the files into a table in the library's cache."""
    import datasets
    import pyarrow

    try:
        builder.download_and_prepare(verification_mode=datasets.VerificationMode.NO_CHECKS)
    except (datasets.exceptions.DatasetGenerationError, pyarrow.ArrowException) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):
            raise cause from error
        raise RunError(
            f"{repository}: the files of {split} are damaged ({type(cause).__name__}); choose"
            " another revision, or remove them from HF_HOME"
        ) from error
