"""Profiles of GPT-2's true shapes: ours beside numpy by tensor, and beside reading the file."""

import functools
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.engine.machine import peak_of
from analysis.profile.checkpoint import profile
from analysis.profile.leaf import QUANTILES
from benchmarks import _replicas

_FILE = "model.safetensors"
_READ = 1 << 24  # bytes at a time
_BINS = 121
_REPEATS = 3
_SMALL, _HALF, _LARGE = (768, 12), (1600, 24), (1600, 48)  # width and layers; GPT2-XL last


def measure() -> Iterator[dict]:
    """Seconds (the best of three) and added memory; every file is read from the page cache but
    where the name says cold."""
    with tempfile.TemporaryDirectory(prefix="profiles-") as scratch:
        small = _checkpoint(Path(scratch), _SMALL)
        profile(open_checkpoint(small))  # compiled
        yield from _beside_numpy(small)
        shutil.rmtree(small)
        half, large = (_checkpoint(Path(scratch), shape) for shape in (_HALF, _LARGE))
        yield from _beside_reading(half, large)


def _checkpoint(scratch: Path, shape: tuple[int, int]) -> Path:
    folder = scratch / f"gpt2-{shape[0]}-{shape[1]}"
    folder.mkdir()
    _replicas.write(folder, _replicas.gpt2_shapes(*shape))
    return folder


def _beside_numpy(folder: Path) -> Iterator[dict]:
    ours, peer = functools.partial(_profiled, folder), functools.partial(_by_numpy, folder)
    _require_equal(folder)
    seconds = _interleaved(ours, peer)
    yield {"name": "profile-124m", "ours": seconds[0], "peer": seconds[1], "unit": "s"}
    peaks = _peak_mb(ours), _peak_mb(peer)
    yield {
        "name": "profile-124m-memory", "ours": peaks[0], "peer": peaks[1], "unit": "MB added"
    }  # fmt: skip


def _beside_reading(half: Path, large: Path) -> Iterator[dict]:
    ours, peer = functools.partial(_profiled, large), functools.partial(_read, large)
    cold = _interleaved(_cold(large, ours), _cold(large, peer))
    yield {"name": "profile-6gb-cold", "ours": cold[0], "peer": cold[1], "unit": "s"}
    warm = _interleaved(ours, peer)
    yield {"name": "profile-6gb", "ours": warm[0], "peer": warm[1], "unit": "s"}
    peak = _peak_mb(ours)
    largest = _peak_mb(lambda: _by_numpy(large, names=["wte.weight"]))
    yield {"name": "profile-6gb-memory", "ours": peak, "peer": largest, "unit": "MB added"}
    smaller = functools.partial(_profiled, half)
    sizes = [(folder / _FILE).stat().st_size / 1e9 for folder in (half, large)]
    yield {
        "name": "profile-growth",
        "ours": warm[0] / sizes[1],
        "peer": min(smaller() for _ in range(_REPEATS)) / sizes[0],
        "unit": "s/GB, twice the file",
    }
    yield {
        "name": "profile-growth-memory",
        "ours": peak,
        "peer": _peak_mb(smaller),
        "unit": "MB, twice the file",
    }


def _profiled(folder: Path) -> float:
    start = time.perf_counter()
    record = profile(open_checkpoint(folder))
    seconds = time.perf_counter() - start
    shapes = [t.shape for t in open_checkpoint(folder).tensors.values()]
    if record["scopes"]["model"]["statistics"]["parameters"] != sum(map(math.prod, shapes)):
        raise AssertionError("the profile did not count every weight")
    return seconds


def _by_numpy(folder: Path, names: list[str] | None = None) -> float:
    """What a notebook does: each tensor's histogram and quantiles."""
    start = time.perf_counter()
    with safe_open(folder / _FILE, framework="numpy") as file:
        for name in names or file.keys():
            values = file.get_tensor(name).reshape(-1)
            np.histogram(values, bins=_BINS)
            np.quantile(values, list(QUANTILES.values()))
    return time.perf_counter() - start


def _read(folder: Path) -> float:
    block = bytearray(_READ)
    start = time.perf_counter()
    with (folder / _FILE).open("rb", buffering=0) as stream:
        while stream.readinto(block):
            pass
    return time.perf_counter() - start


def _cold(folder: Path, run: Callable[[], float]) -> Callable[[], float]:
    """The run, its file put out of the page cache before."""

    def cold() -> float:
        with (folder / _FILE).open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return run()

    return cold


def _interleaved(ours: Callable[[], float], peer: Callable[[], float]) -> tuple[float, float]:
    """The best seconds of both, run in turn."""
    runs = [(ours(), peer()) for _ in range(_REPEATS)]
    return min(a for a, _ in runs), min(b for _, b in runs)


def _peak_mb(run: Callable[[], Any]) -> float:
    """Megabytes of anonymous memory that the run adds, in a process of its own."""
    return peak_of(run)[1] / 1e6


def _require_equal(folder: Path) -> None:
    """The profile says of each tensor that is a leaf what numpy says, and so does its histogram."""
    record = profile(open_checkpoint(folder))
    leaves = {(leaf["part"], leaf["kind"]): leaf for leaf in record["leaves"]}
    with safe_open(folder / _FILE, framework="numpy") as file:
        for name, kind in (("wte.weight", "token embedding"), ("wpe.weight", "position")):
            values = file.get_tensor(name).reshape(-1).astype(np.float64)
            expected = np.quantile(values, list(QUANTILES.values()))
            found = [leaves["embedding", kind][q] for q in QUANTILES]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
            rows = record["scopes"][f"kind:{kind}"]["histogram"]
            bins = [row for row in rows if row["scale"] == "linear"]
            edges = [bins[0]["left"], *(row["right"] for row in bins)]
            counts, _ = np.histogram(values, edges)
            # a histogram's bins hold their left edge; mirrored ones, for w < 0, hold their right
            if sum(row["count"] for row in bins) != values.size or (
                np.abs(np.cumsum(counts) - np.cumsum([row["count"] for row in bins])).max() > 10
            ):
                raise AssertionError(f"{name}: the histogram is not numpy's")
