"""N:M by Wanda: the N largest |weight| times input norm of every M inputs (Sun et al. 2024)."""

from analysis.pruning.allocation.uniform import same
from analysis.pruning.groups.n_of_m import N_OF_M
from analysis.pruning.prunable import prunable
from analysis.pruning.scores.wanda import wanda
from analysis.pruning.updates import none

TITLE = "N:M Wanda"
CITATION = "sun2024wanda"
KIND = "calibrated"
LEVELS = "patterns"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = wanda, N_OF_M, same, none
