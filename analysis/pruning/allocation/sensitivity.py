"""By sensitivity: how much goes of each group, from what removing part of each alone has cost.

Each group's loss is taken as the convex curve under its measured points; then the sum of losses at
a given total is smallest if the cheapest pieces of all curves go first.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BEYOND = 4.0  # past its last measured point a loss is taken to grow that many times as fast
MOST = 0.98  # of a group: none is removed whole, as no measurement says what that costs
_FLAT = 1e-6  # the least slope: where nothing was lost, groups share alike

Point = tuple[float, float]


def allocate(
    sizes: Mapping[str, int], losses: Mapping[str, Sequence[Point]], sparsity: float
) -> dict[str, float]:
    """The sparsity of each group, so that all together have this one, with the least loss.

    sizes    the groups' numbers of weights
    losses   for each the measured (sparsity, loss ≥ 0), the loss being of the whole model's quality
             when this group alone is pruned

    Raises ValueError if the total is more than MOST.
    """
    if not 0 <= sparsity <= MOST:
        raise ValueError(f"a total of {sparsity:g} is not between 0 and {MOST:g}")
    mean = sum(sizes.values()) / max(1, len(sizes))
    pieces = [
        (_price(slope, mean / max(1, sizes[group])), start, group, end)
        for group in sizes
        for start, end, slope in _convex_pieces(losses[group])
    ]
    left = sparsity * sum(sizes.values())
    found = dict.fromkeys(sizes, 0.0)
    for price in sorted({price for price, *_ in pieces}):
        equal = [(group, end - start) for p, start, group, end in pieces if p == price]
        room = sum(sizes[group] * width for group, width in equal)
        share = min(1.0, left / room) if room else 0.0  # groups that cost the same share alike
        for group, width in equal:
            found[group] += share * width
        left = max(0.0, left - share * room)
    return found


def _price(slope: float, fewer: float) -> float:
    """What a weight costs: more, the fewer there are in the group; flat pieces cost all alike."""
    flat = BEYOND * _FLAT
    return slope if slope <= flat else max(flat, slope * fewer)


def _convex_pieces(points: Sequence[Point]) -> list[tuple[float, float, float]]:
    """(start, end, slope) of the greatest convex function under the points, from (0, 0) to MOST."""
    known = [(0.0, 0.0), *sorted((s, max(0.0, loss)) for s, loss in points if 0 < s < MOST)]
    last = known[-1]
    rise = last[1] / last[0] if last[0] else 0.0
    known.append((MOST, last[1] + BEYOND * max(rise, _FLAT) * (MOST - last[0])))
    hull: list[Point] = []
    for point in known:
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], point):
            hull.pop()
        hull.append(point)
    return [(a[0], b[0], max(_FLAT, _slope(a, b))) for a, b in itertools.pairwise(hull)]


def _slope(one: Point, other: Point) -> float:
    return (other[1] - one[1]) / (other[0] - one[0])


def counts(
    sizes: Mapping[str, int], sparsities: Mapping[str, float], sparsity: float
) -> dict[str, int]:
    """How many weights to remove of each tensor, so that the total is exactly round(s·N).

    sizes, sparsities   by tensor; their sum is within rounding of the total
    """
    total, running, given, found = sum(sizes.values()), 0.0, 0, {}
    scale = sparsity * total / max(1e-12, sum(sparsities[name] * sizes[name] for name in sizes))
    for name in sorted(sizes):
        running += scale * sparsities[name] * sizes[name]
        found[name] = min(sizes[name], round(running) - given)
        given += found[name]
    left = round(sparsity * total) - given
    for name in sorted(found, key=lambda n: sizes[n], reverse=True):
        change = min(max(left, -found[name]), sizes[name] - found[name])
        found[name] += change
        left -= change
    return found


def by_sensitivity(
    sparsities: Mapping[str, float],
) -> Callable[[float, Mapping[str, Sequence[int]]], Mapping[str, NDArray[np.int64]]]:
    """The allocation that gives each matrix, by name, its own sparsity; the total is the level."""

    def allocation(
        level: float, sizes: Mapping[str, Sequence[int]]
    ) -> Mapping[str, NDArray[np.int64]]:
        found = counts({name: sum(own) for name, own in sizes.items()}, sparsities, level)
        return {name: np.array([count]) for name, count in found.items()}

    return allocation
