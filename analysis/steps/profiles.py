"""Profiles of checkpoints, remembered by the content of their weights."""

from typing import Any

from analysis.models import naming
from analysis.models.checkpoint import open_checkpoint
from analysis.models.weights import read_weights
from analysis.objects import Objects
from analysis.profile.checkpoint import profile
from analysis.profile.grids import histograms
from analysis.profile.leaf import in_memory, measure
from analysis.profile.scopes import Scope
from analysis.pruning.masks import apply_masks, read_masks


def profile_weights(objects: Objects, *, weights_sha256: str, checkpoint: str) -> dict[str, Any]:
    """Record: statistics of leaves and scopes, histograms and CDFs of every scope, what is tied.

    `weights_sha256` is the key's; `checkpoint` is the object, or the folder, of the weights.
    """
    return profile(open_checkpoint(objects.locate(checkpoint)))


def histograms_of_masked(
    objects: Objects, *, weights_sha256: str, masks: list[str | None], checkpoint: str
) -> dict[str, Any]:
    """Record: the histogram of all parameters under each of these masks (objects); None is dense.

    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie.
    """
    dense = read_weights(objects.open(checkpoint))
    dense = {name: dense[name] for name in naming.weights(dense)}
    listed = []
    for mask in masks:
        weights = dense if mask is None else apply_masks(dense, read_masks(objects.open(mask)))
        model = Scope()
        for array in weights.values():
            model.add(measure(in_memory(array)))
        listed.append(histograms(model.counts, model.zeros))
    return {"histograms": listed}
