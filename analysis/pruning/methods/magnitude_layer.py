"""Magnitude pruning of each matrix on its own: the same sparsity in every layer."""

from analysis.pruning.allocation.uniform import uniform
from analysis.pruning.groups.matrix import MATRIX
from analysis.pruning.prunable import prunable
from analysis.pruning.scores.magnitude import magnitude

TITLE = "magnitude by layer"
CITATION = "zhu2018prune"
KIND = "weights"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = magnitude, MATRIX, uniform, None
