"""Pruned models as files: a bit a weight, and values only where pruning changed what it kept.

It is a safetensors file that names the dense weights it belongs to.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from analysis import threads
from analysis.arrays import Array, Mask
from analysis.pruning import kernels
from analysis.pruning.bitmaps import packed, unpacked

_HEADER = "masks"
_VALUES = ":values"  # behind a tensor's name; no tensor's own name has a colon


@dataclass(frozen=True)
class Pruned:
    """What pruning did to dense weights, by tensor name.

    masks    of the tensors' shapes; True keeps
    values   the tensors of which what was kept has other values than before; others stay
    """

    masks: Mapping[str, Mask]
    values: Mapping[str, Array] = field(default_factory=dict)


def write_pruned(path: Path, pruned: Pruned, weights_sha256: str) -> None:
    """Write the masks, bit-packed, and what is kept of the values, beside the digest of the dense
    weights they belong to."""
    arrays: dict[str, NDArray[Any]] = {}
    shapes = {}
    for name, mask in sorted(pruned.masks.items()):  # once: it may be made as it is asked for
        arrays[name], shapes[name] = np.packbits(mask.reshape(-1)), list(mask.shape)
        if name in pruned.values:
            arrays[name + _VALUES] = pruned.values[name][mask]
    for name, value in pruned.values.items():
        if name not in shapes:
            arrays[name + _VALUES] = np.ascontiguousarray(value)
    header = {"weights_sha256": weights_sha256, "shapes": shapes}
    # one key: safetensors writes several in random order, and equal masks are to be equal files
    save_file(arrays, path, metadata={_HEADER: json.dumps(header, sort_keys=True)})


def read_pruned(path: Path) -> Pruned:
    """What `write_pruned` wrote; values are zero where the mask removes."""
    with safe_open(path, framework="numpy") as file:
        shapes = json.loads(file.metadata()[_HEADER])["shapes"]
        masks = {
            name: unpacked(file.get_tensor(name), math.prod(shape)).reshape(shape)
            for name, shape in shapes.items()
        }
        values = {}
        for key in file.keys():  # noqa: SIM118
            if key.endswith(_VALUES):
                name, kept = key.removesuffix(_VALUES), file.get_tensor(key)
                values[name] = _spread_out(kept, masks[name]) if name in masks else kept
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
