"""Which weights to remove: exact global selection by magnitude, without concatenating tensors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import Array, Mask

_LOW_BITS = 15
_HIGH_BINS = 1 << 16
_LOW_BINS = 1 << _LOW_BITS


@dataclass(frozen=True)
class Selection:
    """What a method decides at one level.

    masks      by tensor name, of the tensor's shape; True keeps
    threshold  the largest magnitude removed, or None where no one threshold decides
    """

    sparsity: float
    masks: dict[str, Mask]
    threshold: float | None


def number_removed(sparsity: float, size: int) -> int:
    """How many of `size` weights an unstructured method removes: Python's round, exactly."""
    return round(sparsity * size)


def smallest_magnitudes(
    weights: Mapping[str, Array], sparsities: Sequence[float]
) -> Iterable[Selection]:
    """Masks that remove the globally smallest |w|, exactly round(s·N) of them at each level.

    The 31 low bits of a float32 order as |w| does: one histogram of their upper 16 serves all
    levels, a second one of the lower 15 inside the bin of rank k gives the exact threshold. Among
    equal magnitudes those first by tensor name, then by position, are removed. Zeros count.
    """
    names = sorted(weights)
    for name in names:
        if weights[name].dtype != np.float32:
            raise TypeError(f"{name}: magnitudes of {weights[name].dtype}; only float32 is ranked")
    total = sum(weights[name].size for name in names)
    upper = _histogram((_bits(weights[n]) >> _LOW_BITS for n in names), _HIGH_BINS)
    cumulative = np.cumsum(upper)
    for sparsity in sparsities:
        k = number_removed(sparsity, total)
        if k == 0:
            keep_all = {n: np.ones(weights[n].shape, dtype=np.bool_) for n in names}
            yield Selection(sparsity, keep_all, None)
            continue
        high = int(np.searchsorted(cumulative, k))
        rank = k - (int(cumulative[high - 1]) if high else 0)  # 1 … within the bin
        lower = _histogram((_low_bits_in(weights[n], high) for n in names), _LOW_BINS)
        inside = np.cumsum(lower)
        low = int(np.searchsorted(inside, rank))
        ties = rank - (int(inside[low - 1]) if low else 0)
        bits = (high << _LOW_BITS) | low
        threshold = float(np.array(bits, dtype=np.uint32).view(np.float32))
        yield Selection(sparsity, _masks(weights, names, bits, ties), threshold)


def _bits(array: Array) -> NDArray[Any]:
    """The magnitude's bits of each entry, flat: sign dropped, so -0.0 equals 0.0."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint32) & np.uint32(0x7FFFFFFF)


def _low_bits_in(array: Array, high: int) -> NDArray[Any]:
    bits = _bits(array)
    return bits[(bits >> _LOW_BITS) == high] & np.uint32(_LOW_BINS - 1)


def _histogram(parts: Iterable[NDArray[Any]], bins: int) -> NDArray[np.int64]:
    counts = np.zeros(bins, dtype=np.int64)
    for part in parts:
        counts += np.bincount(part, minlength=bins)
    return counts


def _masks(
    weights: Mapping[str, Array], names: Sequence[str], threshold_bits: int, ties: int
) -> dict[str, Mask]:
    """True above the threshold, and at it but for the first `ties` entries there."""
    masks = {}
    for name in names:
        bits = _bits(weights[name])
        keep = bits > threshold_bits
        at_threshold = np.flatnonzero(bits == threshold_bits)
        keep[at_threshold[ties:]] = True
        ties = max(0, ties - at_threshold.size)
        masks[name] = keep.reshape(weights[name].shape)
    return masks
