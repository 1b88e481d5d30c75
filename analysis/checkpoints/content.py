"""The digest of a checkpoint's content; a room of its own, so that keys of steps stay narrow."""

import hashlib
from collections.abc import Iterable


def combined(tensors: Iterable[tuple[str, str, tuple[int, ...], str]]) -> str:
    """The `weights_sha256` of tensors given as (name, dtype, shape, sha256 of the bytes).

    Over sorted names, so that it is the same whatever the order and the files.
    """
    digest = hashlib.sha256()
    for name, dtype, shape, content in sorted(tensors):
        # the name quoted: one with line ends in it could else spell several tensors
        digest.update(f"{name!r}\0{dtype}\0{shape}\0{content}\n".encode())
    return digest.hexdigest()
