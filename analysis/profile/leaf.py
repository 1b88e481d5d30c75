"""The exact statistics of a leaf's weights, in two readings and little memory.

The first reading counts weights by bin and sums powers; from these it is known in which few bins
the quantiles, cutoffs and shares of the norm lie. The second counts those bins' weights by their
exact value. Nothing is sorted, and no reading keeps more than a block.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.engine.arrays import Array
from analysis.profile import bits, kernels
from analysis.profile.bits import FINITE, IN_ORDER, MAGNITUDES, Counts, Floats

CUTOFFS = {"below_1e-3": 1e-3, "below_1e-2": 1e-2, "below_1e-1": 1e-1, "below_1": 1.0}
QUANTILES = {
    "q01": 0.01,
    "q05": 0.05,
    "q25": 0.25,
    "q50": 0.50,
    "q75": 0.75,
    "q95": 0.95,
    "q99": 0.99,
}
NORM_SHARES = {"norm_50": 0.50, "norm_90": 0.90, "norm_99": 0.99}
_OF_VALUES = (*QUANTILES, *CUTOFFS, "above_std", *NORM_SHARES)
_SAMPLE = 4096

Row = dict[str, Any]
Blocks = Callable[[], Iterable[Array]]  # a new reading of the same weights, as flat float32
Detail = dict[int, NDArray[np.uint32]]  # a bin's counts by its low 16 bits


@dataclass(frozen=True)
class Moments:
    """Of finite weights: number, mean, sums of (w - mean) to the powers 2, 3 and 4, and of |w|."""

    count: int
    mean: float
    second: float
    third: float
    fourth: float
    absolute: float

    @property
    def row(self) -> Row:
        """Mean |w|, and the population's standard deviation, skewness and excess kurtosis.

        What is undefined (moments of nothing, shape of a constant) is None.
        """
        if not self.count:
            return dict.fromkeys(("mean_abs", "std", "skew", "kurtosis"))
        variance = max(0.0, self.second / self.count)
        row: Row = {"mean_abs": self.absolute / self.count, "std": variance**0.5}
        if variance**2 == 0:
            return row | {"skew": None, "kurtosis": None}
        return row | {
            "skew": self.third / self.count / variance**1.5,
            "kurtosis": self.fourth / self.count / variance**2 - 3,
        }


@dataclass(frozen=True)
class Leaf:
    """What is known of a leaf's weights, and its row of statistics.

    counts: weights by bin, and squares: sums of w² by bin of |w|, each as the places in use and
    what is there, since most leaves use few bins.
    """

    counts: tuple[Counts, Counts]
    squares: tuple[Counts, Floats]
    moments: Moments
    row: Row


@dataclass(frozen=True)
class _Order:
    """Counts by bin, and what adds up along the order of the bins.

    by_value   weights up to and with each bin of IN_ORDER
    below      weights of a magnitude below each edge of the bins of |w|
    beyond     sums of w² from each bin of |w| on
    """

    counts: Counts
    by_value: Counts
    below: Counts
    beyond: Floats

    @classmethod
    def of(cls, counts: Counts, squares: Floats) -> "_Order":
        return cls(
            counts,
            np.cumsum(counts[IN_ORDER]),
            np.concatenate([[0], np.cumsum(bits.magnitude_counts(counts))]),
            np.append(np.cumsum(squares[::-1])[::-1], 0.0),
        )

    @property
    def total(self) -> int:
        """The number of finite weights."""
        return int(self.below[-1])


def measure(blocks: Blocks) -> Leaf:
    """The leaf of the weights that `blocks()` reads; NaN and infinity are counted and left out."""
    counts, squares, moments = _first_reading(blocks)
    parameters = int(counts.sum())
    row: Row = {"parameters": parameters, "zeros": 0, "not_finite": parameters - moments.count}
    row |= moments.row
    if moments.count:
        row |= _of_values(blocks, _Order.of(counts, squares), squares, row["std"])
    else:
        row |= dict.fromkeys(_OF_VALUES)
    return Leaf(_in_use(counts), _in_use(squares), moments, row)


def _of_values(blocks: Blocks, order: _Order, squares: Floats, std: float) -> Row:
    """What needs weights by their exact value: zeros, quantiles, cutoffs, shares of the norm."""
    cutoffs = {name: bits.threshold_bits(cut) for name, cut in CUTOFFS.items()}
    above_std = bits.threshold_bits_above(std)
    reached = share_bins(squares)
    detail = _second_reading(
        blocks,
        _bins_of_ranks(order)
        | _both_signs({0, above_std >> 16, *(cut >> 16 for cut in cutoffs.values())})
        | _both_signs(set(reached.values())),
    )
    row: Row = {"zeros": _below(order, detail, 1), **_quantiles(order, detail)}
    for name, cut in cutoffs.items():
        row[name] = _below(order, detail, cut) / order.total
    row["above_std"] = 1 - _below(order, detail, above_std) / order.total
    for name, share in NORM_SHARES.items():
        held = _largest_holding(share, reached[name], order, detail) if reached else None
        row[name] = None if held is None else held / order.total
    return row


def _in_use(values: NDArray[Any]) -> tuple[Counts, NDArray[Any]]:
    places = np.flatnonzero(values != 0)  # of truth values it is faster
    return places, values[places]


def _first_reading(blocks: Blocks) -> tuple[Counts, Floats, Moments]:
    counts = np.zeros(bits.BINS, np.int64)
    squares = np.zeros(bits.MAGNITUDES)
    sums = np.zeros(5)
    shift: float | None = None
    for block in blocks():
        as_bits = kernels.bits_of(block)
        kernels.count_bins(block, as_bits, counts, squares)
        if shift is None:
            shift = _sample_mean(block)
        sums += kernels.power_sums(block, as_bits, shift or 0.0)
    squares[FINITE:] = 0.0  # infinity's and NaN's
    finite = int(bits.magnitude_counts(counts).sum())
    return counts, squares, _moments(finite, shift or 0.0, sums)


def _sample_mean(block: Array) -> float | None:
    """A value so near the mean, in standard deviations, that sums about it keep their digits.

    None if no weight of the block is finite.
    """
    for part in (block[:_SAMPLE], block):
        finite = part[np.isfinite(part)][:_SAMPLE]
        if finite.size:
            return float(finite.astype(np.float64).mean())
    return None


def _moments(count: int, shift: float, sums: Floats) -> Moments:
    """Moments about the mean from sums of powers of w - shift."""
    one, two, three, four, absolute = sums.tolist()
    if not count:
        return Moments(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    d = one / count  # mean - shift
    return Moments(
        count,
        shift + d,
        two - count * d**2,
        three - 3 * d * two + 2 * count * d**3,
        four - 4 * d * three + 6 * d**2 * two - 3 * count * d**4,
        absolute,
    )


def share_bins(squares: Floats) -> dict[str, int]:
    """The bin of |w| in which each share of the norm is reached, from the largest weights down.

    Empty where every weight is zero.
    """
    from_above = np.cumsum(squares[::-1])
    if from_above[-1] == 0:
        return {}
    return {
        name: bits.MAGNITUDES - 1 - int(np.searchsorted(from_above, share * from_above[-1]))
        for name, share in NORM_SHARES.items()
    }


def _second_reading(blocks: Blocks, wanted: set[int]) -> Detail:
    """Counts by exact value, that is by the low 16 bits, of the wanted bins."""
    listed = sorted(wanted)
    is_wanted = np.zeros(bits.BINS, np.uint8)
    row_of = np.zeros(bits.BINS, np.int64)
    is_wanted[listed] = 1
    row_of[listed] = range(len(listed))
    detail = np.zeros((len(listed), bits.BINS), np.uint32)
    for block in blocks():
        kernels.count_values(kernels.bits_of(block), is_wanted, row_of, detail)
    return dict(zip(listed, detail, strict=True))


def _both_signs(magnitudes: set[int]) -> set[int]:
    finite = {where for where in magnitudes if where < FINITE}
    return finite | {where + MAGNITUDES for where in finite}


def _bins_of_ranks(order: _Order) -> set[int]:
    """The bins of the weights between which the quantiles lie."""
    ranks = {rank for q in QUANTILES.values() for rank in _neighbours(q, order.total)}
    return {int(IN_ORDER[np.searchsorted(order.by_value, r, side="right")]) for r in ranks}


def _neighbours(q: float, count: int) -> tuple[int, int]:
    """The ranks, from 0, of the two weights around a quantile."""
    low = int(q * (count - 1))
    return low, min(low + 1, count - 1)


def _quantiles(order: _Order, detail: Detail) -> Row:
    """Quantiles of w, interpolated between the two nearest weights as numpy does."""
    row = {}
    for name, q in QUANTILES.items():
        low, high = (_value_at(order, detail, rank) for rank in _neighbours(q, order.total))
        place = q * (order.total - 1)
        row[name] = low + (high - low) * (place - int(place))
    return row


def _value_at(order: _Order, detail: Detail, rank: int) -> float:
    """The finite weight of this rank, from 0 for the smallest."""
    place = int(np.searchsorted(order.by_value, rank, side="right"))
    where = int(IN_ORDER[place])
    within = rank - int(order.by_value[place] - order.counts[where])
    if where < MAGNITUDES:
        low = kernels.first_exceeding(detail[where], within)
    else:  # among negative weights the largest magnitude comes first
        low = bits.BINS - 1 - kernels.first_exceeding(detail[where][::-1], within)
    return float(np.uint32(where << 16 | low).view(np.float32))


def _below(order: _Order, detail: Detail, threshold: int) -> int:
    """How many finite weights have a magnitude of fewer bits than `threshold`."""
    whole, low = threshold >> 16, threshold & 0xFFFF
    total = int(order.below[whole])
    if low and whole < FINITE:
        total += sum(int(detail[where][:low].sum()) for where in _both_signs({whole}))
    return total


def _largest_holding(share: float, where: int, order: _Order, detail: Detail) -> int:
    """How many weights, the largest first, it takes to hold this share of the sum of squares.

    `where` is the bin of |w| in which it is reached.
    """
    low, high = bits.magnitude_edges()[where : where + 2].tolist()
    within = kernels.largest_holding(
        detail[where],
        detail[where + MAGNITUDES],
        low,
        (high - low) / bits.BINS,
        share * float(order.beyond[0]) - float(order.beyond[where + 1]),
    )
    return int(within) + order.total - int(order.below[where + 1])


def counted(values: Array) -> Counts:
    """The counts by bin (65536,) of an array in memory, of any shape."""
    counts = np.zeros(bits.BINS, np.int64)
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    kernels.count_bins(flat, kernels.bits_of(flat), counts, np.zeros(bits.MAGNITUDES))
    return counts
