"""Whether code that came with a checkpoint may run: only where a study named its commit.

The study's word is a note beside the checkpoint, in the cache alone: what is downloaded or lies
elsewhere cannot bring one of its own.
"""

import json
import re
from pathlib import Path

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
