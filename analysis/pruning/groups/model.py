"""All tensors together: exact selection over them, without concatenating.

Rank keys (see `kernels`) of 31 bits are counted by their upper 16: one histogram serves all levels.
A second one, of the lower 15 in the bins in which the levels' thresholds lie, makes these exact.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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


class _Model:
    """No allocation: where little is worth keeping, much goes."""

    def choose(
        self, keys: KeysOf, scope: Scope, levels: Sequence[float], allocate: None = None
    ) -> Iterable[Choice]:
        """Masks that remove exactly round(s·N) of the smallest keys at each level.

        Among equal keys those first by tensor name, then by position, go. Masks are made tensor by
        tensor, when they are asked for.
        """
        shapes = {name: scope.weights[name].shape for name in sorted(scope.weights)}
        for cut in _smallest_keys(lambda name: keys(name).reshape(-1), shapes, levels):
            yield cut, None if cut.nothing else cut.key


MODEL = _Model()


class Cut(Mapping[str, Mask]):
    """The masks of one level: False at the `removed` smallest keys over all tensors.

    key      the largest that is removed; ties are removed in the order of tensors and positions
    nothing  whether nothing is
    """

    def __init__(
        self,
        keys: KeysOf,
        shapes: Mapping[str, tuple[int, ...]],
        key: int,
        ties: Mapping[str, int],
    ):
        self._keys, self._shapes, self._ties = keys, shapes, ties
        self.key = key
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


def _smallest_keys(
    keys: KeysOf, shapes: Mapping[str, tuple[int, ...]], sparsities: Sequence[float]
) -> Iterable[Cut]:
    """For each level the cut that removes exactly round(s·N) of the smallest keys.

    `keys(name)` gives a tensor's keys, flat; it is called anew for each pass.
    """

    def added(count: Callable[[Keys], Counts], zero: Counts) -> Counts:
        return sum(threads.each(lambda name: count(keys(name)), shapes), zero)

    upper = np.cumsum(added(_upper, np.zeros(HIGH_BINS, np.int64)))
    removed = [round(s * int(upper[-1])) for s in sparsities]
    bins = sorted({int(np.searchsorted(upper, k)) for k in removed if k})
    lower = added(lambda bits: _lower(bits, bins), np.zeros((len(bins), LOW_BINS), np.int64))
    for k in removed:
        if not k:
            yield Cut(keys, shapes, 0, {})
            continue
        high = int(np.searchsorted(upper, k))
        rank = k - (int(upper[high - 1]) if high else 0)  # 1 … within the bin
        inside = lower[bins.index(high)]
        low = int(np.searchsorted(np.cumsum(inside), rank))
        key = high << LOW_BITS | low
        spared = int(inside[: low + 1].sum()) - rank  # of those that have the key
        ties = _ties(keys, shapes, key, int(inside[low]) - spared) if spared else {}
        yield Cut(keys, shapes, key, {name: ties.get(name, _ALL) for name in shapes})


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
