"""All tensors together: exact selection over them, without concatenating.

Rank keys (see `kernels`) of 31 bits are counted by their upper 16: one histogram serves all levels.
A second one, of the lower 15 in the bins in which the levels' thresholds lie, makes these exact.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.engine import threads
from analysis.engine.arrays import Mask
from analysis.pruning import kernels
from analysis.pruning.bitmaps import Packed, unpacked
from analysis.pruning.groups.within import Choice, KeysOf
from analysis.pruning.kernels import HIGH_BINS, LOW_BINS, LOW_BITS, Keys
from analysis.pruning.scope import Scope

Counts = NDArray[np.int64]
_ALL = 1 << 62


@dataclass(frozen=True, eq=False)
class Cut(Mapping[str, Mask]):
    """The masks of one level: False at the smallest keys over all tensors; made when asked for.

    ranks   gives a tensor's keys, flat, by its name
    key     the largest that is removed; None if nothing is
    ties    how many that have this key go of each tensor, in the order of positions
    """

    ranks: KeysOf
    shapes: Mapping[str, tuple[int, ...]]
    key: int | None
    ties: Mapping[str, int]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, name: str) -> Mask:
        size = math.prod(self.shapes[name])
        return unpacked(self.packed(name), size).reshape(self.shapes[name])

    def packed(self, name: str) -> Packed:
        """The mask of one tensor, one bit a weight."""
        size = math.prod(self.shapes[name])
        if self.key is None:
            return np.packbits(np.ones(size, np.bool_))
        bits = np.empty(-(-size // 8), np.uint8)
        kernels.pack_above(self.ranks(name), np.uint32(self.key), self.ties[name], bits)
        return bits


class _Model:
    """No allocation: where little is worth keeping, much goes."""

    def choose(
        self, keys: KeysOf, scope: Scope, levels: Sequence[float], allocate: None = None
    ) -> Iterable[Choice]:
        """Masks that remove exactly round(s·N) of the smallest keys at each level.

        Among equal keys those first by tensor name, then by position, go. `keys` is called anew for
        each pass.
        """

        def ranks(name: str) -> Keys:
            return keys(name).reshape(-1)

        def added(count: Callable[[Keys], Counts], zero: Counts) -> Counts:
            return sum(threads.each(lambda name: count(ranks(name)), shapes), zero)

        shapes = {name: scope.weights[name].shape for name in sorted(scope.weights)}
        upper = np.cumsum(added(_upper, np.zeros(HIGH_BINS, np.int64)))
        removed = [round(s * int(upper[-1])) for s in levels]
        bins = sorted({int(np.searchsorted(upper, k)) for k in removed if k})
        lower = added(lambda bits: _lower(bits, bins), np.zeros((len(bins), LOW_BINS), np.int64))
        for k in removed:
            if not k:
                yield Cut(ranks, shapes, None, {}), None
                continue
            high = int(np.searchsorted(upper, k))
            rank = k - (int(upper[high - 1]) if high else 0)  # 1 … within the bin
            inside = lower[bins.index(high)]
            low = int(np.searchsorted(np.cumsum(inside), rank))
            key = high << LOW_BITS | low
            spared = int(inside[: low + 1].sum()) - rank  # of those that have the key
            ties = _ties(ranks, shapes, key, int(inside[low]) - spared) if spared else {}
            yield Cut(ranks, shapes, key, {name: ties.get(name, _ALL) for name in shapes}), key


MODEL = _Model()


def _ties(keys: KeysOf, names: Iterable[str], key: int, number: int) -> dict[str, int]:
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
