"""The bytes of a variant in each format."""

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.arrays import Array
from analysis.models.weights import weights_in
from analysis.objects import Objects
from analysis.pruning.masks import Pruned, left, read_pruned, require_known
from analysis.storage.counting import counted


class _Left(Mapping[str, Array]):
    """Weights as pruning left them, each made when it is asked for."""

    def __init__(self, weights: Mapping[str, Array], pruned: Pruned):
        require_known(weights, pruned)
        self._weights, self._pruned = weights, pruned

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __getitem__(self, name: str) -> Array:
        return left(name, self._weights[name], self._pruned)


def measure_sizes(
    objects: Objects,
    *,
    weights_sha256: str,
    masks: str | None,
    formats: list[str],
    checkpoint: str,
) -> dict[str, Any]:
    """Record: the bytes of the files that `storage` makes in each format, and the entropy bound.

    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie. A few
    tensors are in memory at a time.
    """
    pruned = Pruned({}) if masks is None else read_pruned(objects.open(masks))
    with weights_in(objects.open(checkpoint)) as weights:
        found = counted(_Left(weights, pruned), formats)
    return {"bytes": found.bytes, "bound_bytes": found.bound_bytes}
