"""Global magnitude pruning while training goes on (Zhu and Gupta 2017, arXiv 1710.01878)."""

from analysis.pruning.groups.model import MODEL
from analysis.pruning.prunable import prunable
from analysis.pruning.scores.magnitude import magnitude

TITLE = "gradual magnitude"
CITATION = "zhu2018prune"
KIND = "trained"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = magnitude, MODEL, None, None
