"""Structured: whole feed-forward neurons and heads, removed for good (FLAP, An et al. 2024)."""

from analysis.checkpoints.naming import Weight

TITLE = "structured"
CITATION = "an2024fluctuation"
KIND = "structured"


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks, by whole rows and columns."""
    return weight.prunable
