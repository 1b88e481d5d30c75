"""Parts compressed by zstd, and back within bounds that a forged file cannot stretch."""

import threading

import numpy as np
import zstandard

from analysis.checkpoints.tensors import Bytes

_LEVEL = 3
_BEST_RATIO = 1 << 15  # a block of at most 128 KiB takes at least 4 bytes
_FRAME = 1 << 17  # what a frame of few bytes may hold
_WINDOW = 1 << 27  # the largest that level 3, and any but the `long` modes, asks for


class _Own(threading.local):
    """What each thread compresses with: to make it takes as long as to compress a small part."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)


_own = _Own()


def compressed(part: Bytes) -> Bytes | None:
    """The part compressed; None if it would not be shorter."""
    if not part.size:
        return None
    made = _own.compressor.compress(part.data)
    return np.frombuffer(made, np.uint8) if len(made) < part.size else None


def decompressed(stored: Bytes, size: int) -> Bytes:
    """The `size` bytes of which `compressed` made these. Raises ValueError if they are not."""
    if size > _FRAME + stored.size * _BEST_RATIO:
        raise ValueError(f"{stored.size} bytes of zstd cannot hold {size}")
    part = np.empty(size, np.uint8)
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(stored.data)
        got = reader.readinto(part.data) if size else 0
        more = reader.read(1)
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd says: {error}") from error
    if got != size or more:
        raise ValueError(f"zstd gives {'more than ' if more else ''}{got} bytes in place of {size}")
    return part
