"""Leaves added up to scopes: the model, its parts, layers and kinds, and all prunable weights.

Counts, moments and fractions of a scope are exact. `above_std` counts each weight against the
standard deviation of its own leaf, its layer's, at every scope. Quantiles and shares of the norm
are read off the bins and so within 0.8 %, a bin's width; those of a scope of one leaf are exact.
"""

from dataclasses import dataclass, field

import numpy as np

from analysis.checkpoints.naming import Weight
from analysis.profile import bits
from analysis.profile.bits import FINITE, IN_ORDER, MAGNITUDES, Counts, Floats
from analysis.profile.leaf import CUTOFFS, NORM_SHARES, QUANTILES, Leaf, Moments, Row, share_bins

_COUNTED = (*CUTOFFS, "above_std")
_NONE = Moments(0, 0.0, 0.0, 0.0, 0.0, 0.0)


def scopes_of(weight: Weight) -> list[str]:
    """The scopes that a weight belongs to, the model first.

    They are called "model", "part:encoder", "layer:encoder:0", "kind:ffn in" and "prunable".
    What is not understood has no kind to be added up by; "part:other" holds it all.
    """
    names = ["model", f"part:{weight.part}"]
    if weight.layer is not None:
        names.append(f"layer:{weight.part}:{weight.layer}")
    if weight.understood:
        names.append(f"kind:{weight.kind}")
    return [*names, "prunable"] if weight.prunable else names


@dataclass
class Scope:
    """Leaves added up so far."""

    counts: Counts = field(default_factory=lambda: np.zeros(bits.BINS, np.int64))
    squares: Floats = field(default_factory=lambda: np.zeros(MAGNITUDES))
    moments: Moments = _NONE
    leaves: int = 0
    _first: Row = field(default_factory=dict)
    _tally: dict[str, int] = field(default_factory=dict)

    def add(self, leaf: Leaf) -> None:
        """Add a leaf."""
        for own, (places, values) in ((self.counts, leaf.counts), (self.squares, leaf.squares)):
            own[places] += values
        self.moments = _together(self.moments, leaf.moments)
        self.leaves += 1
        self._first = self._first or leaf.row
        for name in ("parameters", "zeros", "not_finite"):
            self._tally[name] = self._tally.get(name, 0) + leaf.row[name]
        for name in _COUNTED:  # fractions are of the finite weights
            number = round((leaf.row[name] or 0.0) * leaf.moments.count)
            self._tally[name] = self._tally.get(name, 0) + number

    @property
    def zeros(self) -> int:
        return self._tally["zeros"]

    def row(self) -> Row:
        """The scope's statistics, in the columns of a leaf's."""
        if self.leaves == 1:
            return dict(self._first)
        row: Row = {name: self._tally[name] for name in ("parameters", "zeros", "not_finite")}
        row |= self.moments.row
        count = self.moments.count
        if not count:
            return row | dict.fromkeys((*QUANTILES, *_COUNTED, *NORM_SHARES))
        row |= _quantiles(self.counts, count)
        row |= {name: self._tally[name] / count for name in _COUNTED}
        return row | _shares(self.counts, self.squares, count)


def distance(one: Counts, other: Counts) -> float | None:
    """The Kolmogorov-Smirnov distance of two distributions of |w|, from their counts by bin.

    The largest difference between their CDFs, 0 to 1, at the bins' edges; None if one is empty.
    """
    cdfs = []
    for counts in (one, other):
        by_magnitude = bits.magnitude_counts(counts)
        total = by_magnitude.sum()
        if not total:
            return None
        cdfs.append(np.cumsum(by_magnitude) / total)
    return float(np.abs(cdfs[0] - cdfs[1]).max())


def _together(a: Moments, b: Moments) -> Moments:
    """The moments of two sets of weights together (Pébay 2008, equations 2.1 to 2.4)."""
    if not a.count or not b.count:
        return a if a.count else b
    n = a.count + b.count
    d = b.mean - a.mean
    return Moments(
        n,
        a.mean + d * b.count / n,
        a.second + b.second + d**2 * a.count * b.count / n,
        a.third
        + b.third
        + d**3 * a.count * b.count * (a.count - b.count) / n**2
        + 3 * d * (a.count * b.second - b.count * a.second) / n,
        a.fourth
        + b.fourth
        + d**4 * a.count * b.count * (a.count**2 - a.count * b.count + b.count**2) / n**3
        + 6 * d**2 * (a.count**2 * b.second + b.count**2 * a.second) / n**2
        + 4 * d * (a.count * b.third - b.count * a.third) / n,
        a.absolute + b.absolute,
    )


def _quantiles(counts: Counts, count: int) -> Row:
    """Quantiles of w, each interpolated within its bin; in the bin of zeros they are zero."""
    edges = bits.magnitude_edges()
    in_order = np.cumsum(counts[IN_ORDER])
    row = {}
    for name, q in QUANTILES.items():
        rank = q * (count - 1)
        place = int(np.searchsorted(in_order, rank, side="right"))
        where = int(IN_ORDER[place])
        if where % MAGNITUDES == 0:
            row[name] = 0.0
            continue
        within = (rank - (in_order[place] - counts[where]) + 0.5) / counts[where]
        negative = where >= MAGNITUDES
        low, high = edges[where % MAGNITUDES], edges[where % MAGNITUDES + 1]
        row[name] = float(
            -high + within * (high - low) if negative else low + within * (high - low)
        )
    return row


def _shares(counts: Counts, squares: Floats, count: int) -> Row:
    """Shares of weights that hold shares of the norm, each interpolated within its bin."""
    reached = share_bins(squares)
    by_magnitude = bits.magnitude_counts(counts)
    row: Row = dict.fromkeys(NORM_SHARES)
    for name, where in reached.items():
        beyond = float(squares[where + 1 :].sum())
        missing = NORM_SHARES[name] * float(squares.sum()) - beyond
        part = by_magnitude[where] * missing / squares[where]
        row[name] = float((by_magnitude[where + 1 : FINITE].sum() + part) / count)
    return row
