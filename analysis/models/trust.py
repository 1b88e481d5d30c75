"""Whether code that came with a checkpoint may run: only where a study named its commit."""

import json
from pathlib import Path
from typing import Any

_NOTE = "remote_code.json"


def allow(folder: Path, commit: str) -> None:
    """Note in a checkpoint's folder that the code in it, of that commit, may run."""
    (folder / _NOTE).write_text(json.dumps({"commit": commit}) + "\n", encoding="utf-8")


def trusted(folder: Path) -> dict[str, Any]:
    """What `from_pretrained` is told of the folder; without the note nothing, so no code runs."""
    return {"trust_remote_code": True} if (folder / _NOTE).is_file() else {}
