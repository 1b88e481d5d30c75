"""Structured: whole feed-forward neurons and heads, removed for good (FLAP, An et al. 2024)."""

from analysis.pruning.prunable import prunable

TITLE = "structured"
CITATION = "an2024fluctuation"
KIND = "structured"
in_scope = prunable
