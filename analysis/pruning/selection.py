"""Which weights to remove: exact selection over all tensors together, without concatenating.

Rank keys (see `kernels`) of 31 bits are counted by their upper 16: one histogram serves all levels.
A second one, of the lower 15 in the bins in which the levels' thresholds lie, makes these exact.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.engine import threads
from analysis.engine.arrays import Array, Mask
from analysis.pruning import kernels
from analysis.pruning.bitmaps import Packed, unpacked
from analysis.pruning.kernels import HIGH_BINS, LOW_BINS, LOW_BITS, Keys

Counts = NDArray[np.int64]
_ALL = 1 << 62


@dataclass(frozen=True)
class Selection:
    """What a method decides at one level.

    masks          by tensor name, of the tensor's shape; True keeps. They may be made when asked
                   for.
    threshold      the largest magnitude removed, or None where no one threshold decides
    values         the tensors whose kept weights the method changed, zero where it removed
    notes          what a reader should know of how it went, by tensor
    calibrated_on  what a calibrated method looked at (`calibration.batches.facts`)
    """

    sparsity: float
    masks: Mapping[str, Mask]
    threshold: float | None
    values: Mapping[str, Array] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    calibrated_on: Mapping[str, Any] = field(default_factory=dict)


def number_removed(sparsity: float, size: int) -> int:
    """How many of `size` weights an unstructured method removes: Python's round, exactly."""
    return round(sparsity * size)


def smallest_magnitudes(
    weights: Mapping[str, Array], sparsities: Sequence[float]
) -> Iterable[Selection]:
    """Masks that remove the globally smallest |w|, exactly round(s·N) of them at each level.

    Among equal magnitudes those first by tensor name, then by position, are removed. Zeros count.
    Masks are made tensor by tensor, when they are asked for.
    """
    shapes = {name: weights[name].shape for name in sorted(weights)}
    wide = [array for array in weights.values() if array.dtype == np.float64]
    ranked = _magnitudes(weights.values()) if wide else None

    def keys(name: str) -> Keys:
        return keys_of(weights[name]) if ranked is None else _ranks(weights[name], ranked)

    for cut in smallest_keys(keys, shapes, sparsities):
        key = np.uint32(cut.key)
        largest = float(key.view(np.float32) if ranked is None else ranked[key])
        yield Selection(cut.sparsity, cut, None if cut.nothing else largest)


def keys_of(saliency: Array) -> Keys:
    """Keys that order values as their magnitudes do, flat; the top bit does not count.

    The bits of float32. Of float64, which has more than a key has room for, the ranks among the
    array's own magnitudes.
    """
    if saliency.dtype == np.float64:
        return _ranks(saliency, _magnitudes([saliency]))
    if saliency.dtype != np.float32:
        raise TypeError(f"{saliency.dtype} is not ranked; read weights as float32 or float64")
    return np.ascontiguousarray(saliency).reshape(-1).view(np.uint32)


def _magnitudes(arrays: Iterable[Array]) -> NDArray[np.float64]:
    """The magnitudes that occur in these arrays, each once, rising."""
    flat = [np.abs(array, dtype=np.float64).reshape(-1) for array in arrays]
    return np.unique(np.concatenate(flat))


def _ranks(values: Array, magnitudes: NDArray[np.float64]) -> Keys:
    """Where the magnitudes of these values, flat, stand among all that occur."""
    sizes = np.abs(values, dtype=np.float64).reshape(-1)
    return np.searchsorted(magnitudes, sizes).astype(np.uint32)


class Cut(Mapping[str, Mask]):
    """The masks of one level: False at the `removed` smallest keys over all tensors.

    key      the largest that is removed; ties are removed in the order of tensors and positions
    nothing  whether nothing is
    """

    def __init__(
        self,
        keys: Callable[[str], Keys],
        shapes: Mapping[str, tuple[int, ...]],
        sparsity: float,
        key: int,
        ties: Mapping[str, int],
    ):
        self._keys, self._shapes, self._ties = keys, shapes, ties
        self.sparsity, self.key = sparsity, key
        self.nothing = not ties

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, name: str) -> Mask:
        size = math.prod(self._shapes[name])
        return unpacked(self.packed(name), size).reshape(self._shapes[name])

    def packed(self, name: str) -> Packed:
        """The mask of one tensor, one bit a weight."""
        size = math.prod(self._shapes[name])
        if self.nothing:
            return np.packbits(np.ones(size, np.bool_))
        bits = np.empty(-(-size // 8), np.uint8)
        kernels.pack_above(self._keys(name), np.uint32(self.key), self._ties[name], bits)
        return bits


def smallest_keys(
    keys: Callable[[str], Keys], shapes: Mapping[str, tuple[int, ...]], sparsities: Sequence[float]
) -> Iterable[Cut]:
    """For each level the cut that removes exactly round(s·N) of the smallest keys.

    `keys(name)` gives a tensor's keys, flat; it is called anew for each pass.
    """

    def added(count: Callable[[Keys], Counts], zero: Counts) -> Counts:
        return sum(threads.each(lambda name: count(keys(name)), shapes), zero)

    upper = np.cumsum(added(_upper, np.zeros(HIGH_BINS, np.int64)))
    removed = [number_removed(s, int(upper[-1])) for s in sparsities]
    bins = sorted({int(np.searchsorted(upper, k)) for k in removed if k})
    lower = added(lambda bits: _lower(bits, bins), np.zeros((len(bins), LOW_BINS), np.int64))
    for sparsity, k in zip(sparsities, removed, strict=True):
        if not k:
            yield Cut(keys, shapes, sparsity, 0, {})
            continue
        high = int(np.searchsorted(upper, k))
        rank = k - (int(upper[high - 1]) if high else 0)  # 1 … within the bin
        inside = lower[bins.index(high)]
        low = int(np.searchsorted(np.cumsum(inside), rank))
        key = high << LOW_BITS | low
        spared = int(inside[: low + 1].sum()) - rank  # of those that have the key
        ties = _ties(keys, shapes, key, int(inside[low]) - spared) if spared else {}
        yield Cut(keys, shapes, sparsity, key, {name: ties.get(name, _ALL) for name in shapes})


def _ties(
    keys: Callable[[str], Keys], names: Iterable[str], key: int, number: int
) -> dict[str, int]:
    """How many entries of this very key are removed of each tensor, `number` of all, in order."""
    of_tensor = {}
    for name in names:
        of_tensor[name] = min(number, int(kernels.count_equal(keys(name), np.uint32(key))))
        number -= of_tensor[name]
    return of_tensor


def _upper(bits: Keys) -> Counts:
    counts = np.zeros(HIGH_BINS, np.int64)
    kernels.count_high(bits, counts)
    return counts


def _lower(bits: Keys, bins: Sequence[int]) -> Counts:
    """Counts (bins, 32768) of the keys in these bins by their lower bits."""
    wanted = np.zeros(HIGH_BINS, np.uint8)
    row = np.zeros(HIGH_BINS, np.int64)
    wanted[list(bins)] = 1
    row[list(bins)] = range(len(bins))
    counts = np.zeros((len(bins), LOW_BINS), np.int64)
    kernels.count_low(bits, wanted, row, counts)
    return counts
