"""Files and folders that are whole or not there: written beside their place, then moved into it."""

import contextlib
import fcntl
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO


def json_text(value: Any, indent: int | None = 2) -> str:
    """Strict JSON, which other programs read too: what is no finite number is null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def stamp(folder: Path) -> list[Any]:
    """Name, bytes, time and inode of each file in a folder: they tell whether one has changed."""
    return [
        [path.name, found.st_size, found.st_mtime_ns, found.st_ino]
        for path in sorted(folder.iterdir())
        if path.is_file()
        for found in [path.stat()]
    ]


def replace_text(path: Path, text: str) -> None:
    """Write a text file in one piece."""
    with replaced_file(path) as stream:
        stream.write(text.encode("utf-8"))


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well."""
    descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
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
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
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
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-old-") as aside:
            old = Path(aside) / folder.name
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
