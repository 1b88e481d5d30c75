"""N:M by magnitude: the N largest |weight| of every M inputs of an output (Mishra et al. 2021)."""

from analysis.pruning.allocation.uniform import same
from analysis.pruning.groups.n_of_m import N_OF_M
from analysis.pruning.prunable import prunable
from analysis.pruning.scores.magnitude import magnitude

TITLE = "N:M magnitude"
CITATION = "mishra2021accelerating"
KIND = "weights"
LEVELS = "patterns"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = magnitude, N_OF_M, same, None
