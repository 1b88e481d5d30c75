"""The digest of a checkpoint's content, remembered for files that have not changed since."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from analysis.checkpoints.config import config_of
from analysis.checkpoints.content import combined
from analysis.checkpoints.tensors import Checkpoint, Reader, Tensor
from analysis.engine import code, files, threads
from analysis.engine.progress import Meter

_BLOCK = 1 << 22


def weights_sha256(checkpoint: Checkpoint, memory: Path) -> str:
    """The digest of a checkpoint's weights; `memory` is the folder that remembers it by its files.

    A file counts as unchanged while its path, size, modification time and inode are.
    """
    note = memory / f"{hashlib.sha256(str(checkpoint.folder.resolve()).encode()).hexdigest()}.json"
    now = stamp(checkpoint)
    remembered = _remembered(note, now)
    if now and remembered:  # without files nothing tells it is the same
        return remembered
    digest = content_sha256(checkpoint)
    if now and now == stamp(checkpoint):  # else it changed while it was read
        text = json.dumps({"seal": _seal(now, digest), "weights_sha256": digest})
        with contextlib.suppress(OSError):  # a full disk: it is computed again next time
            memory.mkdir(parents=True, exist_ok=True)
            files.replace_text(note, text)
    return digest


def content_sha256(checkpoint: Checkpoint) -> str:
    """The digest of a checkpoint's weights, read in blocks."""
    return combined(
        (name, tensor.dtype.name, tensor.shape, content)
        for (name, tensor), content in zip(
            checkpoint.tensors.items(), _contents(checkpoint), strict=True
        )
    )


def config_sha256(folder: Path) -> str:
    """The digest of a folder's parsed config.json; of an empty one where there is none."""
    return hashlib.sha256(json.dumps(config_of(folder), sort_keys=True).encode()).hexdigest()


def _remembered(note: Path, now: list[Any]) -> str | None:
    """The digest that was noted of the files as they are now, if the note is whole."""
    try:  # a pipe would be waited for in vain
        found = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return None
    digest = found.get("weights_sha256") if isinstance(found, dict) else None
    return digest if digest and found.get("seal") == _seal(now, digest) else None


def _seal(now: list[Any], digest: str) -> str:
    """What a note of that digest of files with that stamp is known by."""
    return hashlib.sha256(json.dumps([now, digest]).encode()).hexdigest()


def stamp(checkpoint: Checkpoint) -> list[Any]:
    """What tells that the files, and the formula, are the same."""
    if not checkpoint.files:
        return []
    formula = code.digest(["analysis.checkpoints.content", "analysis.checkpoints.checkpoint"])
    found = [[str(path.resolve()), *files.stamp(path)] for path in checkpoint.files]
    return [[formula], *found]


def _contents(checkpoint: Checkpoint) -> list[str]:
    """The sha256 of each tensor's bytes, read on all cores."""
    meter = Meter("MB read for the digest of its content", checkpoint.bytes, unit=1_000_000)

    def content(tensor: Tensor) -> str:
        digest = hashlib.sha256()
        block = np.empty(min(_BLOCK, tensor.bytes), np.uint8)
        for start in range(0, tensor.bytes, _BLOCK):
            piece = block[: tensor.bytes - start]
            reader.read(tensor, start, piece)
            digest.update(piece.data)
            meter.add(piece.size)
        return digest.hexdigest()

    with Reader(checkpoint) as reader:
        return list(threads.each(content, checkpoint.tensors.values()))
