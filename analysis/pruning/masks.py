"""Pruned models as files: which weights stay, and values only where pruning changed these.

It is a file of `analysis.storage` that names the dense weights it belongs to.
"""

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.checkpoints.tensors import BY_NAME, DTYPES, Bytes, Dtype, Tensor
from analysis.checkpoints.widening import from_bytes, to_bytes
from analysis.engine import threads
from analysis.engine.arrays import Array, Mask
from analysis.pruning import kernels
from analysis.pruning.bitmaps import BitMasks, packed
from analysis.storage.dtypes import spec_of
from analysis.storage.reading import opened
from analysis.storage.writing import Writer

WEIGHTS = "weights_sha256"
_MASK, _VALUES = ":mask", ":values"  # behind a tensor's name, so that the two differ
_NONE: Mapping[str, Dtype] = {}


@dataclass(frozen=True)
class Pruned:
    """What pruning did to dense weights, by tensor name.

    masks    of the tensors' shapes; True keeps
    values   the tensors of which what was kept has other values than before; others stay
    """

    masks: Mapping[str, Mask]
    values: Mapping[str, Array] = field(default_factory=dict)


def write_pruned(
    path: Path, pruned: Pruned, weights_sha256: str, dtypes: Mapping[str, Dtype] = _NONE
) -> None:
    """Write where the masks keep, and what is kept of the values, beside the digest of the dense
    weights they belong to. Equal masks and values make equal files.

    Values are written in the `dtypes` of their tensors, or as they are where none is given.
    """
    with Writer(path, metadata={WEIGHTS: weights_sha256}) as writer:
        for name in sorted(pruned.masks.keys() | pruned.values.keys()):
            mask = pruned.masks.get(name)  # once: it may be made as it is asked for
            if mask is not None:
                writer.add(name + _MASK, mask)
            if name in pruned.values:
                value = pruned.values[name]
                kept = value if mask is None else value[mask]
                dtype = dtypes.get(name, BY_NAME[kept.dtype.name])
                writer.add_raw(name + _VALUES, spec_of(dtype, kept.shape), to_bytes(kept, dtype))


def read_pruned(path: Path) -> Pruned:
    """What `write_pruned` wrote; values are zero where the mask removes.

    In memory are a bit a weight and what is kept of the values; arrays are made when asked for.
    """
    masks, kept = BitMasks(), {}
    with opened(path) as stored:
        for name in stored.names:
            if name.endswith(_MASK):
                masks.add(name.removesuffix(_MASK), stored.tensor(name))
            else:
                values = from_bytes(stored.raw(name), DTYPES[stored.spec(name).dtype])
                kept[name.removesuffix(_VALUES)] = values.reshape(stored.spec(name).shape)
    return Pruned(masks, _SpreadOut(kept, masks))


def number_kept(path: Path) -> dict[str, int]:
    """How many elements are kept of each tensor that `write_pruned` wrote something of."""
    kept = {}
    with opened(path) as stored:
        for name in stored.names:  # a mask comes before its values
            if name.endswith(_MASK):
                kept[name.removesuffix(_MASK)] = int(np.count_nonzero(stored.tensor(name)))
            else:
                kept.setdefault(name.removesuffix(_VALUES), math.prod(stored.spec(name).shape))
    return kept


class _SpreadOut(Mapping[str, Array]):
    """Values of which what the masks keep is held."""

    def __init__(self, kept: Mapping[str, Array], masks: Mapping[str, Mask]):
        self._kept, self._masks = kept, masks

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    def __getitem__(self, name: str) -> Array:
        kept, mask = self._kept[name], self._masks.get(name)
        if mask is None:
            return kept
        values = np.zeros(mask.shape, kept.dtype)
        values[mask] = kept
        return values


def applied(weights: Mapping[str, Array], pruned: Pruned) -> dict[str, Array]:
    """The weights as pruning left them: changed, or set to zero, or as they are.

    Raises ValueError if a mask or a value fits no tensor.
    """
    require_known(weights, pruned)
    return {name: left(name, array, pruned) for name, array in weights.items()}


def require_known(names: Container[str], pruned: Pruned) -> None:
    """Raise ValueError if a tensor was pruned that is not among these."""
    for name in (*pruned.masks, *pruned.values):
        if name not in names:
            raise ValueError(f"{name}: pruned, but not in the checkpoint")


def left(name: str, array: Array, pruned: Pruned) -> Array:
    """One tensor as pruning left it; the array itself where it was left alone.

    Raises ValueError if its mask or its value does not fit it.
    """
    value = pruned.values.get(name, array)
    mask = pruned.masks.get(name)
    for found in (value, value if mask is None else mask):
        if found.shape != array.shape:
            raise ValueError(f"{name}: {found.shape} of weights of {array.shape}")
    return value if mask is None else np.where(mask, value, value.dtype.type(0))


def left_as_stored(tensor: Tensor, raw: Bytes, source: str, pruned: Pruned) -> Bytes:
    """The bytes of one tensor as pruning left it, in its own type; what is left alone is `raw`.

    `source` is the name under which it was pruned: its own, or that of the one it is tied to. What
    is removed from `raw` is removed in place.
    """
    if source in pruned.values:
        raw = to_bytes(pruned.values[source], tensor.dtype)
    if source in pruned.masks:
        numbers = raw.view(f"u{tensor.dtype.bytes}")  # zero is all bits zero in every float
        kernels.zero_removed(numbers, packed(pruned.masks, source))
    return raw


def remove(weights: Mapping[str, Array], masks: Mapping[str, Mask]) -> None:
    """Set the removed entries of contiguous tensors to zero in place, on all cores."""

    def remove_from(name: str) -> None:
        flat = weights[name].reshape(-1)
        numbers = flat.view(f"u{flat.itemsize}")  # zero is all bits zero in every type
        kernels.zero_removed(numbers, packed(masks, name))

    for _ in threads.each(remove_from, masks):
        pass
