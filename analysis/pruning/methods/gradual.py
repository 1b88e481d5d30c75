"""Global magnitude pruning while training goes on (Zhu and Gupta 2017, arXiv 1710.01878)."""

from analysis.checkpoints.naming import Weight

TITLE = "gradual magnitude"
CITATION = "zhu2018prune"
KIND = "trained"


def in_scope(weight: Weight) -> bool:
    """The weight matrices of the linear layers inside the blocks."""
    return weight.prunable


def sparsity_at(step: int, steps: int, start: float, end: float) -> float:
    """The paper's cubic schedule: from `start` before the first of `steps` to `end` after the last.

    It removes fast at first, while there is much that is not needed, and ever more slowly.
    """
    if step >= steps:
        return end  # exactly, which the formula gives only up to rounding
    return end + (start - end) * (1 - max(step, 0) / steps) ** 3
