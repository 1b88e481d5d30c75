"""The bytes of a variant, written for real in each format."""

from typing import Any

from analysis.models.weights import read_weights
from analysis.objects import Objects
from analysis.pruning.masks import applied, read_pruned
from analysis.storage.bound import bound_bytes
from analysis.storage.writing import write, write_plain


def measure_sizes(
    objects: Objects,
    *,
    weights_sha256: str,
    masks: str | None,
    formats: list[str],
    checkpoint: str,
) -> dict[str, Any]:
    """Record: bytes by format, and the entropy bound.

    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie.
    """
    weights = read_weights(objects.open(checkpoint))
    if masks is not None:
        weights = applied(weights, read_pruned(objects.open(masks)))
    sizes = {}
    with objects.scratch() as scratch:
        for name in formats:
            path = scratch / "weights"
            if name == "dense":
                write_plain(weights, path)  # what others are compared with
            else:
                write(weights, path, name)
            sizes[name] = path.stat().st_size
            path.unlink()
    return {"bytes": sizes, "bound_bytes": bound_bytes(weights)}
