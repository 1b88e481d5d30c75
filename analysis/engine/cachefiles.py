"""Folders and locks within the cache, which stand whatever stood in their place.

All in the cache is ours and can be computed again: what is of the wrong kind goes. A link that
leads nowhere is somebody's disk that is not there, and stays.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.engine.files import why_unwritable
from analysis.errors import MachineError


def clear(path: Path) -> None:
    """Remove what is there, if anything: a file, a link, a folder with all in it."""
    if path.is_symlink() or not os.path.isdir(path):
        if os.path.lexists(path):
            path.unlink(missing_ok=True)
        return
    _give_rights(path)
    for inner in path.iterdir():
        clear(inner)
    path.rmdir()


def own_folder(root: Path, *names: str) -> Path:
    """The folder root/name/…, made where it is not; what is there in place of one goes.

    Raises OSError if it cannot be made or written to.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = root
    for name in names:
        folder = folder / name
        there = os.path.lexists(folder) and not folder.is_symlink()
        if there and not os.path.isdir(folder):  # in this order: others make it at the same time
            with contextlib.suppress(IsADirectoryError):
                folder.unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
        _give_rights(folder)
    return folder


def _give_rights(folder: Path) -> None:
    """See that a folder can be looked into and written to: one that may only be read is meant so,
    one of no rights is an accident."""
    if not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
        folder.chmod(0o755)
    if not os.access(folder, os.W_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _is_usable(path: Path) -> bool:
    is_plain = os.path.isfile(path) and not path.is_symlink()
    return is_plain and os.access(path, os.R_OK | os.W_OK, effective_ids=True)


@contextlib.contextmanager
def held(path: Path, timeout: float = -1) -> Iterator[None]:
    """A lock in a folder of the cache, held; what is there in place of one goes.

    Raises filelock.Timeout if another process holds it for so many seconds (never, if negative);
    MachineError if the folder cannot be written to.
    """
    lock = FileLock(path)
    try:
        if os.path.lexists(path) and not _is_usable(path):
            clear(path)
        lock.acquire(timeout=timeout)
    except Timeout:
        raise
    except OSError as error:
        raise unwritable(path.parent, error) from error
    try:
        yield
    finally:
        lock.release()


def unwritable(folder: Path, error: Exception) -> MachineError:
    """The line on a cache folder that refuses to be written to."""
    why = why_unwritable(folder, error)
    return MachineError(f"cannot write to the cache folder {folder.absolute()}: {why}")
