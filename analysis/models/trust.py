"""Whether code that came with a checkpoint may run: only where a study named its commit.

The study's word is a note beside the checkpoint, in the cache alone: what is downloaded or lies
elsewhere cannot bring one of its own.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from analysis.errors import RequestError

NOTE = "remote_code.json"
_OBJECT = re.compile(r"objects/([0-9a-f]{2})/\1[0-9a-f]{62}$")  # as `Objects` lays them out


def allow(folder: Path, commit: str) -> None:
    """Note in a checkpoint's folder that the code in it, of that commit, may run."""
    note = folder / NOTE
    note.unlink(missing_ok=True)  # it may be a link to a file of somebody else's
    note.write_text(json.dumps({"commit": commit}) + "\n", encoding="utf-8")


def trusted(folder: Path) -> dict[str, bool]:
    """What `from_pretrained` is told of the folder: that its code may run, or may not.

    It may in objects of the cache that hold a note of the cache's own, a file and no link.
    """
    note = folder / NOTE
    ours = _OBJECT.search(folder.absolute().as_posix()) and not folder.is_symlink()
    return {"trust_remote_code": bool(ours) and note.is_file() and not note.is_symlink()}


@contextlib.contextmanager
def without_own_code(folder: Path) -> Iterator[None]:
    """Raise RequestError where transformers says that the checkpoint needs code of its own."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise RequestError(
            f"{folder} cannot be opened without the code that came with it, which is not run; where"
            " you trust that code, put the model of the hub into a study with remote_code: true and"
            " its commit as revision"
        ) from error
