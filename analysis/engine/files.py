"""Files and folders that are whole or not there: written beside their place, then moved into it."""

import contextlib
import errno
import fcntl
import glob
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from analysis.engine import processes


def json_text(value: Any, indent: int | None = 2) -> str:
    """Strict JSON, which other programs read too: what is no finite number is null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def stamp(path: Path) -> list[Any]:
    """Name, bytes, time and inode of a file, of a folder those of each file in it: they tell
    whether one has changed. Raises OSError if it cannot be looked at."""
    if path.is_dir():
        return [stamp(found) for found in sorted(path.iterdir()) if found.is_file()]
    found = path.stat()
    return [path.name, found.st_size, found.st_mtime_ns, found.st_ino]


def why_unwritable(path: Path, error: Exception) -> str:
    """Why the disk refused what was to be written to `path`, and how that is mended."""
    named = getattr(error, "filename", None)
    where = Path(named) if isinstance(named, str) else path
    if in_the_way := _in_the_way(where.absolute(), getattr(error, "errno", None)):
        return in_the_way
    reason = getattr(error, "strerror", None) or str(error)
    reason = f"{reason}: {named}" if isinstance(named, str) and where != path else reason
    return f"{reason}; make room or give this user the right to write there"


def _in_the_way(path: Path, number: int | None) -> str:
    """What stands on the way to `path`, or there, in place of a folder; empty if nothing does."""
    for place in (*reversed(path.parents), path):
        if os.path.islink(place) and not os.path.exists(place):
            return (
                f"{place} is a link to {os.readlink(place)}, which is not there; make that folder,"
                " or remove the link"
            )
        is_meant = place != path or number in (errno.EEXIST, errno.ENOTDIR)
        if is_meant and os.path.exists(place) and not os.path.isdir(place):
            return f"{place} is no folder; move it away"
    return ""


@contextlib.contextmanager
def passing_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """An empty folder that is gone after the block; by default where temporary files lie."""
    parent = parent or Path(tempfile.gettempdir())
    sweep(parent, name)
    with tempfile.TemporaryDirectory(dir=parent, prefix=_passing(name)) as folder:
        yield Path(folder)


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed processes of this host left here in the making: of all, or of a name."""
    for found in folder.glob(f".{glob.escape(name)}*"):
        if not processes.is_left(found.name):
            continue
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                found.unlink()


def _passing(name: str) -> str:
    """How what is made under the name is called until it is whole, but for its last letters."""
    return f".{name}-{processes.process_tag()}-"


def replace_text(path: Path, text: str) -> None:
    """Write a text file in one piece."""
    with replaced_file(path) as stream:
        stream.write(text.encode("utf-8"))


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well."""
    sweep(path.parent, path.name)
    descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=_passing(path.name))
    try:
        with open(descriptor, "wb") as stream:
            yield stream
        Path(new).chmod(0o644)  # others may share the folder
        os.replace(new, path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write to, which takes the place of `folder` when the block ends well.

    A reader never sees files of two writings. If the block or the disk fails, the old one stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent, folder.name)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_passing(folder.name)))
    try:
        yield new
        new.chmod(0o755)
        _replace(folder, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _replace(folder: Path, new: Path) -> None:
    """Put `new` in the place of `folder`; if that fails, the old one stays.

    Two processes do so one after the other: the parent folder is locked meanwhile.
    """
    parent = os.open(folder.parent, os.O_RDONLY)
    try:
        fcntl.flock(parent, fcntl.LOCK_EX)
        with passing_folder(f"{folder.name}-old", folder.parent) as aside:
            old = aside / folder.name
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    finally:
        os.close(parent)
