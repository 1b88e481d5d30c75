"""Pruned models as files: which weights stay, and values only where pruning changed these.

It is a file of `analysis.storage` that names the dense weights it belongs to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis import threads
from analysis.arrays import Array, Mask
from analysis.pruning import kernels
from analysis.pruning.bitmaps import packed
from analysis.storage.reading import opened
from analysis.storage.writing import Writer

WEIGHTS = "weights_sha256"
_MASK, _VALUES = ":mask", ":values"  # behind a tensor's name, so that the two differ


@dataclass(frozen=True)
class Pruned:
    """What pruning did to dense weights, by tensor name.

    masks    of the tensors' shapes; True keeps
    values   the tensors of which what was kept has other values than before; others stay
    """

    masks: Mapping[str, Mask]
    values: Mapping[str, Array] = field(default_factory=dict)


def write_pruned(path: Path, pruned: Pruned, weights_sha256: str) -> None:
    """Write where the masks keep, and what is kept of the values, beside the digest of the dense
    weights they belong to. Equal masks and values make equal files."""
    with Writer(path, metadata={WEIGHTS: weights_sha256}) as writer:
        for name in sorted(pruned.masks.keys() | pruned.values.keys()):
            mask = pruned.masks.get(name)  # once: it may be made as it is asked for
            if mask is not None:
                writer.add(name + _MASK, mask)
            if name in pruned.values:
                value = pruned.values[name]
                writer.add(name + _VALUES, value if mask is None else value[mask])


def read_pruned(path: Path) -> Pruned:
    """What `write_pruned` wrote; values are zero where the mask removes."""
    masks, values = {}, {}
    with opened(path) as stored:
        for name in stored.names:  # a mask comes before its values
            if name.endswith(_MASK):
                masks[name.removesuffix(_MASK)] = stored.tensor(name)
            else:
                of, kept = name.removesuffix(_VALUES), stored.tensor(name)
                values[of] = _spread_out(kept, masks[of]) if of in masks else kept
    return Pruned(masks, values)


def _spread_out(kept: Array, mask: Mask) -> Array:
    values = np.zeros(mask.shape, kept.dtype)
    values[mask] = kept
    return values


def applied(weights: Mapping[str, Array], pruned: Pruned) -> dict[str, Array]:
    """The weights as pruning left them: changed, or set to zero, or as they are.

    Raises ValueError if a mask or a value fits no tensor.
    """
    for name, array in (*pruned.masks.items(), *pruned.values.items()):
        if name not in weights:
            raise ValueError(f"{name}: pruned, but not in the checkpoint")
        if array.shape != weights[name].shape:
            raise ValueError(f"{name}: {array.shape} of weights of {weights[name].shape}")
    left = dict(weights) | dict(pruned.values)
    for name, mask in pruned.masks.items():
        left[name] = np.where(mask, left[name], left[name].dtype.type(0))
    return left


def remove(weights: Mapping[str, Array], masks: Mapping[str, Mask]) -> None:
    """Set the removed entries of contiguous tensors to zero in place, on all cores."""

    def remove_from(name: str) -> None:
        flat = weights[name].reshape(-1)
        numbers = flat.view(f"u{flat.itemsize}")  # zero is all bits zero in every type
        kernels.zero_removed(numbers, packed(masks, name))

    for _ in threads.each(remove_from, masks):
        pass
