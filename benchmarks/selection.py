"""Global magnitude pruning of a stack of linear layers: ours beside PyTorch's own, same weights."""

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.utils import prune

from analysis.machine import peak_of
from analysis.pruning.masks import apply_masks
from analysis.pruning.selection import smallest_magnitudes

_LAYERS, _ROWS, _COLUMNS = 8, 3072, 768  # 18.9 M weights
_SPARSITY = 0.9
_REPEATS = 3


def measure() -> Iterator[dict]:
    """Seconds (the best of three) and added memory of pruning once at 90 %, masks applied."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(_COLUMNS, _ROWS, bias=False) for _ in range(_LAYERS)]
    weights = {str(i): layer.weight.detach().numpy() for i, layer in enumerate(layers)}

    def ours() -> tuple[float, int]:
        start = time.perf_counter()
        (selection,) = smallest_magnitudes(weights, [_SPARSITY])
        pruned = apply_masks(weights, selection.masks)
        return time.perf_counter() - start, _zeros(pruned.values())

    def peer() -> tuple[float, int]:
        parameters = [(layer, "weight") for layer in layers]
        start = time.perf_counter()
        prune.global_unstructured(parameters, prune.L1Unstructured, amount=_SPARSITY)
        for layer in layers:
            prune.remove(layer, "weight")
        seconds = time.perf_counter() - start
        return seconds, _zeros(layer.weight.detach().numpy() for layer in layers)

    # forked, so that neither touches the weights of the other
    ours_runs, peer_runs = ([peak_of(run) for _ in range(_REPEATS)] for run in (ours, peer))
    if {zeros for (_, zeros), _ in ours_runs} != {zeros for (_, zeros), _ in peer_runs}:
        raise AssertionError("the two did not remove equally many weights")
    name = f"prune-magnitude-{_LAYERS * _ROWS * _COLUMNS / 1e6:.0f}m"
    seconds = [min(s for (s, _), _ in runs) for runs in (ours_runs, peer_runs)]
    yield {"name": name, "ours": seconds[0], "peer": seconds[1], "unit": "s"}
    peaks = [min(peak for _, peak in runs) / 1e6 for runs in (ours_runs, peer_runs)]
    yield {"name": f"{name}-memory", "ours": peaks[0], "peer": peaks[1], "unit": "MB added"}


def _zeros(arrays: object) -> int:
    return sum(int(a.size - np.count_nonzero(a)) for a in arrays)  # type: ignore[attr-defined]
