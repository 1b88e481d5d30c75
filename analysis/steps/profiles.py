"""The profile of a checkpoint, remembered by the content of its weights."""

from typing import Any

from analysis.models import naming
from analysis.models.weights import read_weights
from analysis.objects import Objects
from analysis.profile import cdf, histograms, leaves, scopes, statistics


def profile_weights(
    objects: Objects, *, weights_sha256: str, family: str, checkpoint: str
) -> dict[str, Any]:
    """Record: statistics of leaves and scopes, histograms and CDFs of every scope.

    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie.
    """
    tensors = read_weights(objects.open(checkpoint))
    names = naming.weights(tensors, family)
    weights = {name: tensors[name] for name in names}
    record: dict[str, Any] = {"leaves": leaves(weights, names), "scopes": {}}
    for scope, values in scopes(weights, names):
        record["scopes"][scope] = {
            "statistics": statistics(values),
            "histogram": histograms(values),
            "cdf": cdf(values),
        }
    return record
