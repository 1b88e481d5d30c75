"""The profile of a checkpoint: its leaves and scopes, read from its files once."""

from collections import defaultdict
from contextlib import closing
from typing import Any

import numpy as np

from analysis.checkpoints import naming
from analysis.checkpoints.naming import Weight
from analysis.checkpoints.parameters import Parameters, parameters
from analysis.checkpoints.tensors import Checkpoint, Reader, Tensor
from analysis.engine import threads
from analysis.engine.progress import Meter
from analysis.profile.blocks import Blocks
from analysis.profile.grids import cdf, histograms
from analysis.profile.leaf import Leaf, Row, measure
from analysis.profile.scopes import Scope, distance, scopes_of

_Key = tuple[str, int, str]  # part, layer (-1 for none), kind


def profile(checkpoint: Checkpoint) -> Row:
    """The record of a checkpoint's profile.

    leaves          a row for each (part, layer, kind), adding up to the model
    scopes          for each scope its statistics, histogram and CDF
    family          of the model, by its layers; None if there are none that are known
    tied            what each tied tensor is counted as
    left_out        tensors of integers, of which there are no statistics: name, dtype, elements
    not_understood  names that no rule knows; each is a leaf of its own
    not_finite      how many weights of each tensor are NaN or infinite, where any are
    scaled          8-bit floats that have scales beside them, which are not applied
    """
    with Reader(checkpoint) as reader:
        found = parameters(checkpoint, reader)
        groups = _groups(checkpoint, found)
        total = sum(tensor.bytes for tensors in groups.values() for tensor in tensors)
        meter = Meter("MB read", total, unit=1_000_000)

        def measured(key: _Key) -> Leaf:
            return measure(Blocks(reader, groups[key], meter))

        # the largest first, so that no core is left with it at the end
        order = sorted(groups, key=lambda k: (-sum(t.bytes for t in groups[k]), k))
        rows: dict[_Key, Row] = {}
        scopes: dict[str, Scope] = defaultdict(Scope)
        with closing(threads.each(measured, order)) as leaves:  # before the files are
            for key, leaf in zip(order, leaves, strict=True):
                rows[key] = leaf.row
                for scope in scopes_of(found.weights[groups[key][0].name]):
                    scopes[scope].add(leaf)
        spoilt = [key for key, row in rows.items() if row["not_finite"]]
        not_finite = _not_finite(reader, [t for key in spoilt for t in groups[key]])
    return {
        "leaves": [
            {"part": part, "layer": None if layer < 0 else layer, "kind": kind}
            | rows[part, layer, kind]
            for part, layer, kind in sorted(rows)
        ],
        "scopes": {name: _described(scopes[name], scopes["model"]) for name in _in_order(scopes)},
        "family": naming.family(found.counted.values()),
        "tied": found.tied,
        "left_out": [
            {"name": t.name, "dtype": t.dtype.name, "elements": t.size} for t in found.left_out
        ],
        "not_understood": sorted(n for n, w in found.counted.items() if not w.understood),
        "not_finite": not_finite,
        "scaled": [name for name in found.counted if _has_scale(checkpoint, name)],
    }


def _groups(checkpoint: Checkpoint, found: Parameters) -> dict[_Key, list[Tensor]]:
    """The tensors of each leaf."""
    groups: dict[_Key, list[Tensor]] = defaultdict(list)
    for name, what in found.counted.items():
        groups[_key(what)].append(checkpoint.tensors[name])
    return dict(groups)


def _key(what: Weight) -> _Key:
    return what.part, -1 if what.layer is None else what.layer, what.kind


def _described(scope: Scope, model: Scope) -> dict[str, Any]:
    return {
        "statistics": scope.row() | {"ks_distance": distance(scope.counts, model.counts)},
        "histogram": histograms(scope.counts, scope.zeros),
        "cdf": cdf(scope.counts),
    }


def _in_order(scopes: dict[str, Scope]) -> list[str]:
    """The model, its parts, layers and kinds, layers by number."""

    def place(name: str) -> tuple[int, str, int]:
        what, *rest = name.split(":")
        order = ("model", "part", "layer", "kind", "prunable").index(what)
        return order, rest[0] if rest else "", int(rest[1]) if what == "layer" else 0

    return sorted(scopes, key=place)


def _has_scale(checkpoint: Checkpoint, name: str) -> bool:
    tensors = checkpoint.tensors
    scales = (f"{name}_scale", f"{name}_scale_inv", f"{name.removesuffix('weight')}scale")
    return tensors[name].dtype.bytes == 1 and any(scale in tensors for scale in scales)


def _not_finite(reader: Reader, tensors: list[Tensor]) -> dict[str, int]:
    """How many weights of each tensor are NaN or infinite; those that have none are left out."""
    counts = {
        tensor.name: sum(
            block.size - int(np.isfinite(block).sum()) for block in Blocks(reader, [tensor])()
        )
        for tensor in tensors
    }
    return {name: count for name, count in sorted(counts.items()) if count}
