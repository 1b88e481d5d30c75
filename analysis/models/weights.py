"""A checkpoint's tensors as numpy arrays, read from its safetensors file, and their digest.

A file holds what is tied once, so what is read here is counted, pruned and stored once.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from analysis.arrays import Array
from analysis.errors import RequestError, RunError

FILE = "model.safetensors"


def read_weights(folder: Path) -> dict[str, Array]:
    """All tensors of the checkpoint in `folder`, by sorted name.

    Raises RequestError if the folder holds no readable safetensors file.
    """
    path = folder / FILE
    if not path.is_file():
        raise RequestError(f"{folder} holds no {FILE}; give the folder of a saved model")
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, TypeError, OSError) as error:
        raise RequestError(f"{path} cannot be read: {error}; save the model again") from error


def weights_sha256(weights: Mapping[str, Array]) -> str:
    """Hex digest over sorted name, dtype, shape and bytes: the same however files are split."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = weights[name]
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def require_finite(weights: Mapping[str, Array], names: Iterable[str]) -> None:
    """Raise RunError, naming the tensor, if one of these holds NaN or infinity."""
    for name in names:
        bad = weights[name].size - int(np.isfinite(weights[name]).sum())
        if bad:
            raise RunError(
                f"{name}: {bad} of {weights[name].size} weights are NaN or infinite; pruning"
                " ranks finite weights only: repair or leave out this checkpoint"
            )
