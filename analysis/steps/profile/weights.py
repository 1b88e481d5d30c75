"""Profiles of checkpoints, remembered by the content of their weights."""

from typing import Any

from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.digests import stamp
from analysis.engine.objects import Objects
from analysis.errors import RunError
from analysis.profile.checkpoint import profile


def profile_weights(
    objects: Objects,
    *,
    weights_sha256: str,
    config: str,
    checkpoint: str,
    files: list[Any] | None = None,
) -> dict[str, Any]:
    """Record: statistics of leaves and scopes, histograms and CDFs of every scope, what is tied.

    `weights_sha256` and `config` are the key's; `checkpoint` is the object, or the folder, of the
    weights, and `files` the stamp of a folder's files when the digest was taken. Raises RunError
    if they have changed since: the profile would be remembered for other weights.
    """
    opened = open_checkpoint(objects.locate(checkpoint))
    record = profile(opened)
    if files is not None and stamp(opened) != files:
        raise RunError(f"{checkpoint} changed while it was read; run again when it is finished")
    return record
