"""Sparse files: their bytes beside the formulas, the bound and zstd; their speed beside a copy."""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zstandard

from analysis.commands.compress import compress, decompress
from analysis.engine.arrays import Array
from analysis.storage import bitmask, csr
from analysis.storage.bound import bound_bytes
from analysis.storage.writing import write, write_plain

_LEVELS = [0.5, 0.9, 0.99]
_REPEATS = 7
_FILES = {"1m": (1, 1024), "50mb": (22, 768)}  # matrices, and their rows and columns
_WEIGHTS, _COLUMNS = 10_000_000, 1000  # of the tensor that is packed
_ZSTD_LEVEL = 3  # as the files have it


def measure() -> Iterator[dict]:
    """Bytes of files, and milliseconds (the best of seven) for one tensor in memory."""
    for size in _FILES:
        for level in _LEVELS:
            yield from _bytes(size, level)
    for level in _LEVELS:
        yield from _beside_copy(level)
    yield from _beside_zstd(0.9)


def _weights(count: int, side: int, sparsity: float) -> dict[str, Array]:
    """Matrices of normal weights of which that fraction is zero."""
    generator = np.random.default_rng(0)
    made = {}
    for i in range(count):
        matrix = 0.02 * generator.standard_normal((side, side), dtype=np.float32)
        matrix[generator.random(matrix.shape) < sparsity] = 0
        made[f"encoder.layer.{i}.attention.self.query.weight"] = matrix
    return made


def _bytes(size: str, level: float) -> Iterator[dict]:
    """`auto` beside the smallest formula and the entropy bound; `auto+zstd` beside zstd."""
    weights = _weights(*_FILES[size], level)
    name = f"store-{size}-{level:g}"
    with tempfile.TemporaryDirectory(prefix="storage-") as scratch:
        path = Path(scratch) / "weights"
        write_plain(weights, path)
        zstd = len(zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(path.read_bytes()))
        write(weights, path, "auto")
        auto = path.stat().st_size
        write(weights, path, "auto+zstd")
        short = path.stat().st_size
    formula = sum(min(_formulas(array)) for array in weights.values())
    yield {"name": name, "ours": auto / 1e6, "peer": formula / 1e6, "unit": "MB, formula"}
    bound = bound_bytes(weights) / 1e6
    yield {"name": f"{name}-bound", "ours": auto / 1e6, "peer": bound, "unit": "MB, bound"}
    yield {"name": f"{name}-zstd", "ours": short / 1e6, "peer": zstd / 1e6, "unit": "MB, zstd"}


def _formulas(array: Array) -> list[int]:
    """Bytes of a float32 matrix: bitmask, CSR of 16 and of 32 bits."""
    kept, rows = int(np.count_nonzero(array)), array.shape[0]
    return [-(-array.size // 8) + 4 * kept, 4 * (rows + 1) + 6 * kept, 4 * (rows + 1) + 8 * kept]


def _beside_copy(level: float) -> Iterator[dict]:
    """Ten million weights packed and unpacked, beside copying them into touched memory."""
    generator = np.random.default_rng(0)
    numbers = generator.standard_normal(_WEIGHTS, dtype=np.float32).view(np.uint32)
    numbers[generator.random(_WEIGHTS) < level] = 0
    matrix, target = numbers.reshape(-1, _COLUMNS), np.ones_like(numbers)
    bits, values = bitmask.packed(numbers, bitmask.counted(numbers))
    by_rows = csr.packed(matrix, np.uint16)
    same = [bitmask.unpacked(bits, values, numbers.size), csr.unpacked(*by_rows, _COLUMNS)]
    if any((back.reshape(-1) != numbers).any() for back in same):
        raise AssertionError("what was packed did not come back")
    runs: dict[str, Callable[[], object]] = {
        "pack-bitmask": lambda: bitmask.packed(numbers, bitmask.counted(numbers)),
        "unpack-bitmask": lambda: bitmask.unpacked(bits, values, numbers.size),
        "pack-csr16": lambda: csr.packed(matrix, np.uint16),
        "unpack-csr16": lambda: csr.unpacked(*by_rows, _COLUMNS),
    }
    for name, run in runs.items():
        ours, peer = _interleaved(run, lambda: np.copyto(target, numbers))
        yield {"name": f"{name}-{level:g}", "ours": ours, "peer": peer, "unit": "ms, a copy"}


def _beside_zstd(level: float) -> Iterator[dict]:
    """A folder compressed and back by the commands, beside zstd of its file."""
    weights = _weights(*_FILES["50mb"], level)
    with tempfile.TemporaryDirectory(prefix="storage-") as scratch:
        model = Path(scratch) / "model"
        model.mkdir()
        dense = model / "model.safetensors"
        write_plain(weights, dense)
        packed = Path(scratch) / "packed.zst"
        outs = iter(range(1000))
        small: list[Path] = []

        def forth() -> None:
            small.append(Path(scratch) / str(next(outs)))
            with contextlib.redirect_stdout(io.StringIO()):
                compress(model, small[-1])

        def back() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                decompress(small[-1], Path(scratch) / str(next(outs)))

        def zstd_forth() -> None:
            compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
            packed.write_bytes(compressor.compress(dense.read_bytes()))

        def zstd_back() -> None:
            content = zstandard.ZstdDecompressor().decompress(packed.read_bytes())
            (Path(scratch) / "back").write_bytes(content)

        for name, ours, peer in (("compress", forth, zstd_forth), ("decompress", back, zstd_back)):
            best = _interleaved(ours, peer)
            yield {"name": f"{name}-50mb", "ours": best[0], "peer": best[1], "unit": "ms, zstd"}


def _interleaved(ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, float]:
    """The best milliseconds of both, run in turn."""
    runs = [(_milliseconds(ours), _milliseconds(peer)) for _ in range(_REPEATS)]
    return min(a for a, _ in runs), min(b for _, b in runs)


def _milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)
