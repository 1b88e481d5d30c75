"""Global magnitude pruning at GPT-2's true shapes: beside PyTorch's own, and beside reading."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import prune

from analysis.checkpoints.weights import read_weights
from analysis.engine.arrays import Array, Mask
from analysis.engine.machine import peak_of
from analysis.pruning.bitmaps import packed
from analysis.pruning.masks import remove
from analysis.pruning.methods import magnitude
from analysis.pruning.scope import Scope
from analysis.pruning.selection import select
from benchmarks import _replicas

_SPARSITY = 0.9
_LEVELS = [0.10, 0.50, 0.90, 0.95, 0.99]
_REPEATS = 3
_SMALL, _LARGE = (768, 12), (1600, 48)  # width and layers


def measure() -> Iterator[dict]:
    """Seconds (ours the best of three) and added memory."""
    with tempfile.TemporaryDirectory(prefix="selection-") as scratch:
        weights = _matrices(Path(scratch), _SMALL)
    yield from _beside_torch(weights)
    with tempfile.TemporaryDirectory(prefix="selection-") as scratch:
        yield from _beside_reading(Path(scratch))


def _matrices(scratch: Path, shape: tuple[int, int]) -> dict[str, Array]:
    _replicas.write(scratch, _replicas.gpt2_shapes(*shape))
    return {name: array for name, array in read_weights(scratch).items() if array.ndim == 2}


def _beside_torch(weights: dict[str, Array]) -> Iterator[dict]:
    """One level over all matrices, removed in place; and the memory that choosing them takes."""
    names = list(weights)

    def ours() -> tuple[float, dict[str, Array]]:
        own = {name: array.copy() for name, array in weights.items()}
        start = time.perf_counter()
        (selection,) = select(magnitude, Scope(own), [_SPARSITY])
        remove(own, selection.masks)
        return time.perf_counter() - start, own

    def peer() -> tuple[float, dict[str, Array]]:
        layers = torch.nn.ModuleList(torch.nn.Module() for _ in names)
        for layer, name in zip(layers, names, strict=True):
            layer.weight = torch.nn.Parameter(torch.from_numpy(weights[name].copy()))
        start = time.perf_counter()
        parameters = [(layer, "weight") for layer in layers]
        prune.global_unstructured(parameters, prune.L1Unstructured, amount=_SPARSITY)
        for layer in layers:
            prune.remove(layer, "weight")
        seconds = time.perf_counter() - start
        pruned = (layer.weight.detach().numpy() for layer in layers)
        return seconds, dict(zip(names, pruned, strict=True))

    # memory first: torch's threads, once started, would not survive the fork
    _, own_peak = peak_of(lambda: _masks_of(weights, [_SPARSITY]))
    _, peer_peak = peak_of(lambda: peer()[0])
    runs = [ours() for _ in range(_REPEATS)]
    theirs = peer()
    _require_alike(runs[0][1], theirs[1])
    seconds = min(taken for taken, _ in runs)
    yield {"name": "prune-magnitude-124m", "ours": seconds, "peer": theirs[0], "unit": "s"}
    copies = sum(array.nbytes for array in weights.values())  # the peer works on a copy here
    yield {
        "name": "prune-magnitude-124m-memory",
        "ours": own_peak / 1e6,
        "peer": (peer_peak - copies) / 1e6,
        "unit": "MB added",
    }


def _beside_reading(scratch: Path) -> Iterator[dict]:
    """Five levels at GPT2-XL's shape beside reading the weights once."""
    _replicas.write(scratch, _replicas.gpt2_shapes(*_LARGE))
    start = time.perf_counter()
    weights = read_weights(scratch)
    reading = time.perf_counter() - start
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        cuts = list(select(magnitude, Scope(weights), _LEVELS))
        seconds.append(time.perf_counter() - start)
    if len(cuts) != len(_LEVELS):
        raise AssertionError("a level is missing")
    yield {"name": "prune-magnitude-1.5b", "ours": min(seconds), "peer": reading, "unit": "s"}
    _, peak = peak_of(lambda: _masks_of(weights, _LEVELS))
    whole = sum(array.nbytes for array in weights.values())
    yield {
        "name": "prune-magnitude-1.5b-memory",
        "ours": peak / 1e6,
        "peer": whole / 1e6,
        "unit": "MB added to the weights'",
    }


def _masks_of(weights: Mapping[str, Array], levels: list[float]) -> int:
    """Every level's masks, one bit a weight, a level at a time; returns how many bytes of them."""
    return sum(_bytes_of(found.masks) for found in select(magnitude, Scope(weights), levels))


def _bytes_of(masks: Mapping[str, Mask]) -> int:
    bits = {name: packed(masks, name) for name in masks}
    return sum(array.nbytes for array in bits.values())


def _require_alike(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
    """The same weights are removed but for ties: as many, and none larger than one that stays."""
    removed = [sum(int((a == 0).sum()) for a in each.values()) for each in (ours, theirs)]
    differ = sum(int(((ours[name] == 0) != (theirs[name] == 0)).sum()) for name in ours)
    tied = 2 * sum(int((np.abs(a) == _largest_removed(ours)).sum()) for a in theirs.values())
    if removed[0] != removed[1] or differ > max(tied, 2):
        raise AssertionError(f"the two removed {removed} weights, and {differ} differ")


def _largest_removed(pruned: Mapping[str, Array]) -> float:
    return min(float(np.abs(a[a != 0]).min()) for a in pruned.values() if a.any())
