"""Formats of weight files and their sizes, against the entropy bound."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import zstandard
from safetensors.numpy import save_file

from analysis.arrays import Array

_ZSTD_LEVEL = 3
_BLOCK = 1 << 20


def _write_dense(weights: Mapping[str, Array], path: Path) -> None:
    """One safetensors file, zeros stored like any number: what `save_pretrained` writes."""
    save_file({name: np.asarray(array, order="C") for name, array in weights.items()}, path)


def _write_dense_zstd(weights: Mapping[str, Array], path: Path) -> None:
    """The dense file, compressed by zstd: the baseline that any reader asks for."""
    plain = path.with_suffix(".plain")
    _write_dense(weights, plain)
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    with plain.open("rb") as source, path.open("wb") as target:
        compressor.copy_stream(source, target, size=plain.stat().st_size, read_size=_BLOCK)
    plain.unlink()


FORMATS: Mapping[str, Callable[[Mapping[str, Array], Path], None]] = {
    "dense": _write_dense,
    "dense+zstd": _write_dense_zstd,
}


def bound_bytes(weights: Mapping[str, Array]) -> int:
    """The entropy bound: bytes below which no code of positions plus raw values can go.

    N·H(s)/8 for the positions and the bytes of each non-zero value, tensor by tensor, H being the
    binary entropy in bits.
    """
    total = 0.0
    for array in weights.values():
        nonzero = int(np.count_nonzero(array))
        total += array.size * _binary_entropy(nonzero, array.size) / 8 + array.itemsize * nonzero
    return int(np.ceil(total))


def _binary_entropy(part: int, whole: int) -> float:
    if part in (0, whole):
        return 0.0
    p = part / whole
    return float(-p * np.log2(p) - (1 - p) * np.log2(1 - p))
