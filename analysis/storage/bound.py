"""The entropy bound: bytes below which no code of positions plus raw values can go."""

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from analysis.checkpoints.tensors import Bytes
from analysis.storage import bitmask
from analysis.storage.dtypes import Spec, from_array, numbers_of


def bound_bytes(weights: Mapping[str, NDArray[Any]]) -> int:
    """The entropy bound of arrays, added up tensor by tensor; zero is all bits zero."""
    return math.ceil(sum(tensor_bytes(*from_array(name, weights[name])) for name in weights))


def tensor_bytes(spec: Spec, raw: Bytes) -> float:
    """The entropy bound of one tensor, of its contiguous bytes."""
    known = spec.item_bytes > 0
    return entropy_bytes(spec, sum(bitmask.counted(numbers_of(spec, raw))) if known else 0)


def entropy_bytes(spec: Spec, nonzeros: int) -> float:
    """N·H(s)/8 for the positions and the bytes of each non-zero value of a tensor of N elements.

    H is the binary entropy in bits. A tensor whose elements are not known takes its bytes.
    """
    if not spec.item_bytes:
        return float(spec.bytes)
    return spec.size * _binary_entropy(nonzeros, spec.size) / 8 + spec.value_bytes * nonzeros


def _binary_entropy(part: int, whole: int) -> float:
    if part in (0, whole):
        return 0.0
    p = part / whole
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)
