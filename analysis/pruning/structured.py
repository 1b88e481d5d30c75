"""Removal of whole neurons and heads by how much their outputs vary: the model gets smaller.

FLAP (An et al. 2024, arXiv 2312.11983). A channel that hardly varies over the calibration tokens
can be replaced by its mean, which the bias of the projection that reads it takes up. So channel j
of a projection W [out, in] scores var_j · ‖W_j‖², a neuron scores as its channel, and a head as
the mean of its channels. Scores are standardised within each group of units, as they are not
comparable between layers, and then ranked over all groups. A unit that does not vary at all costs
nothing, wherever it is: these go first.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.checkpoints import naming
from analysis.checkpoints.naming import Weight
from analysis.checkpoints.weights import require_finite
from analysis.engine.arrays import Array
from analysis.engine.files import replace_text
from analysis.errors import RequestError, RunError
from analysis.models import units
from analysis.models.units import HEADS, KEPT, NEURONS, Cut, Group

Numbers = NDArray[np.float64]

_OUTPUTS = ("attention output", "cross-attention output", "ffn out")


class Unreachable(RequestError):  # noqa: N818
    """More is to be removed than can go while each group keeps a unit."""


@dataclass(frozen=True)
class Moments:
    """The inputs of an output projection over the calibration tokens.

    mean       (in,)
    variance   (in,)
    """

    mean: Numbers
    variance: Numbers


@dataclass(frozen=True)
class Smaller:
    """A checkpoint without the removed units.

    weights         all tensors by stored name; those that lost nothing are the given ones
    kept            for KEPT: by kind ("heads", "neurons") and group, `of` how many units which are
                    `kept`; groups that are whole are not listed
    removed         prunable weights that went
    scope_weights   prunable weights of the whole model
    """

    weights: dict[str, Array]
    kept: dict[str, dict[str, dict[str, Any]]]
    removed: int
    scope_weights: int


def projections(names: Mapping[str, Weight]) -> list[str]:
    """The stored names of the output projections, whose inputs' moments are needed."""
    return sorted(name for name, what in names.items() if what.prunable and what.kind in _OUTPUTS)


def remove_units(
    weights: Mapping[str, Array],
    config: Mapping[str, Any],
    moments: Mapping[str, Moments],
    sparsity: float,
) -> Smaller:
    """The checkpoint without the neurons and heads of the lowest scores.

    weights    all tensors, as they are stored
    config     the parsed config.json
    moments    by stored name, for every projection that a group of units goes into
    sparsity   the share of the prunable weights to remove, met as nearly as whole units allow: to
               within half the largest unit

    Raises Unreachable if one unit per group leaves more than asked for; RequestError if nothing
    can be removed or moments do not fit; RunError if weights or moments are not finite, or what
    comes of them.
    """
    if not 0 < sparsity < 1:
        raise RequestError(f"sparsity {sparsity}: allowed are fractions above 0 and below 1")
    named = naming.weights(weights)
    shapes = {name: weights[name].shape for name in named}
    sizes = {name: weights[name].size for name, what in named.items() if what.prunable}
    found = units.groups(named, shapes, config)
    costs = [sum(sizes.get(cut.name, 0) for cut in g.cuts) // g.count for g in found]
    if not any(group.count > 1 for group in found):
        raise RequestError(
            f"no neurons or heads can be removed: {len(found)} groups of them are understood, and"
            " none has more than one"
        )
    whole = sum(sizes.values())
    _check(found, weights, moments)
    gone, removed = _chosen(found, costs, weights, moments, sparsity, whole)

    smaller = dict(weights)
    kept: dict[str, dict[str, dict[str, Any]]] = {HEADS: {}, NEURONS: {}}
    for group, lost in zip(found, gone, strict=True):
        if lost:
            left = sorted({*range(group.count)} - lost)
            kept[group.kind][group.key] = {"of": group.count, "kept": left}
            _compensate(smaller, group, sorted(lost), moments)
            for cut in group.cuts:
                tensor = weights[cut.name]
                at = group.positions(cut, tensor.shape[cut.axis], left)
                base = smaller[cut.name]
                smaller[cut.name] = np.ascontiguousarray(np.take(base, at, cut.axis))
    return Smaller(smaller, kept, removed, whole)


def _check(
    found: Iterable[Group], weights: Mapping[str, Array], moments: Mapping[str, Moments]
) -> None:
    """Raise unless each projection of a group has finite weights and moments of its inputs."""
    for cut in (cut for group in found for cut in group.outputs):
        require_finite(weights, [cut.name])
        if cut.name not in moments:
            raise RequestError(f"{cut.name}: its inputs' moments are missing; calibrate it too")
        for what in ("mean", "variance"):
            array = getattr(moments[cut.name], what)
            if array.shape != (weights[cut.name].shape[cut.axis],):
                raise RequestError(
                    f"{cut.name}: the {what} of its inputs has the shape {array.shape}, the tensor"
                    f" {weights[cut.name].shape}"
                )
            if not np.isfinite(array).all() or (what == "variance" and (array < 0).any()):
                raise RunError(
                    f"{cut.name}: the {what} of its inputs is NaN, infinite or negative; calibrate"
                    " with a model whose activations are finite"
                )


def _chosen(
    found: list[Group],
    costs: list[int],
    weights: Mapping[str, Array],
    moments: Mapping[str, Moments],
    sparsity: float,
    whole: int,
) -> tuple[list[set[int]], int]:
    """The units that go, by group, and how many weights these are.

    In rising order of score, up to where the sum of weights is nearest to what was asked for; so a
    higher sparsity removes what a lower one does. The best unit of each group stays.
    """
    ranked: list[tuple[bool, float, int, int]] = []
    for number, group in enumerate(found):
        raw = np.stack([_scores(group, cut, weights, moments) for cut in group.outputs])
        if not np.isfinite(raw).all():
            raise RunError(f"{group.key}: scores overflow; calibrate with smaller activations")
        score = _standardised(np.mean([_standardised(row) for row in raw], axis=0))
        order = sorted((bool(raw[:, u].any()), float(score[u]), number, u)
                       for u in range(group.count))  # fmt: skip
        ranked += order[:-1]
    ranked.sort()
    sums = np.cumsum([0] + [costs[number] for _, _, number, _ in ranked])
    wanted = sparsity * whole
    if sums[-1] < wanted:
        most = int(sums[-1] * 10_000 // whole) / 10_000
        raise Unreachable(
            f"sparsity {sparsity} cannot be reached by removing neurons and heads: the most is"
            f" {most}, with one left in each layer"
        )
    steps = int(np.argmin(np.abs(sums - wanted)))
    gone: list[set[int]] = [set() for _ in found]
    for _, _, number, unit in ranked[:steps]:
        gone[number].add(unit)
    return gone, int(sums[steps])


def _scores(
    group: Group, cut: Cut, weights: Mapping[str, Array], moments: Mapping[str, Moments]
) -> Numbers:
    """How much of a projection's output varies with each unit: (count,), mean over its channels."""
    tensor = weights[cut.name]
    axes = "io,io->i" if cut.axis == 0 else "oi,oi->i"
    norms = np.einsum(axes, tensor, tensor, dtype=np.float64)
    with np.errstate(over="ignore"):  # infinity is refused where scores are ranked
        scores: Numbers = (moments[cut.name].variance * norms).reshape(group.count, -1)
        return scores.mean(axis=1)


def _standardised(scores: Numbers) -> Numbers:
    """Scores of mean 0 and standard deviation 1, or all 0 where they are equal."""
    spread = scores.std()
    centred = scores - scores.mean()
    return centred / spread if spread > 0 else np.zeros_like(scores)


def _compensate(
    weights: dict[str, Array], group: Group, lost: list[int], moments: Mapping[str, Moments]
) -> None:
    """Add what the removed units are on average to the biases of the projections that have one."""
    for cut in group.outputs:
        name = units.bias_of(cut.name)
        if name in weights:
            matrix = np.moveaxis(weights[cut.name], cut.axis, -1)  # [out, in]
            at = group.positions(cut, matrix.shape[-1], lost)
            added = matrix[:, at].astype(np.float64) @ moments[cut.name].mean[at]
            weights[name] = (weights[name] + added).astype(weights[name].dtype)
            require_finite(weights, [name])


def write_kept(folder: Path, kept: Mapping[str, Any]) -> None:
    """Write what is kept beside the smaller weights, so that the model can be opened."""
    replace_text(folder / KEPT, json.dumps(kept, sort_keys=True) + "\n")
