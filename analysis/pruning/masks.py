"""Masks as files: one bit a weight, in a safetensors file that names the dense weights."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from analysis import threads
from analysis.arrays import Array, Mask
from analysis.pruning import kernels
from analysis.pruning.bitmaps import packed, unpacked

_HEADER = "masks"


def write_masks(path: Path, masks: Mapping[str, Mask], weights_sha256: str) -> None:
    """Write the masks, bit-packed, beside the digest of the dense weights they belong to."""
    bits, shapes = {}, {}
    for name, mask in sorted(masks.items()):  # once: it may be made as it is asked for
        bits[name], shapes[name] = np.packbits(mask.reshape(-1)), list(mask.shape)
    header = {"weights_sha256": weights_sha256, "shapes": shapes}
    # one key: safetensors writes several in random order, and equal masks are to be equal files
    save_file(bits, path, metadata={_HEADER: json.dumps(header, sort_keys=True)})


def read_masks(path: Path) -> dict[str, Mask]:
    """The masks by tensor name, of the tensors' shapes; True keeps."""
    with safe_open(path, framework="numpy") as file:
        shapes = json.loads(file.metadata()[_HEADER])["shapes"]
        return {
            name: unpacked(file.get_tensor(name), math.prod(shape)).reshape(shape)
            for name, shape in shapes.items()
        }


def apply_masks(weights: Mapping[str, Array], masks: Mapping[str, Mask]) -> dict[str, Array]:
    """The weights with the removed entries set to zero; tensors without a mask as they are.

    Raises ValueError if a mask fits no tensor.
    """
    for name, mask in masks.items():
        if name in weights and mask.shape != weights[name].shape:
            raise ValueError(f"{name}: a mask of {mask.shape} for weights of {weights[name].shape}")
    strangers = sorted(set(masks) - set(weights))
    if strangers:
        raise ValueError(f"masks for tensors that the checkpoint lacks: {', '.join(strangers)}")
    return {
        name: np.where(masks[name], array, array.dtype.type(0)) if name in masks else array
        for name, array in weights.items()
    }


def remove(weights: Mapping[str, Array], masks: Mapping[str, Mask]) -> None:
    """Set the removed entries of contiguous tensors to zero in place, on all cores."""

    def remove_from(name: str) -> None:
        flat = weights[name].reshape(-1)
        numbers = flat.view(f"u{flat.itemsize}")  # zero is all bits zero in every type
        kernels.zero_removed(numbers, packed(masks, name))

    for _ in threads.each(remove_from, masks):
        pass
