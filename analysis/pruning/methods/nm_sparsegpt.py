"""N:M by SparseGPT: groups chosen from weights already corrected (Frantar & Alistarh 2023)."""

from analysis.pruning.allocation.uniform import same
from analysis.pruning.groups.n_of_m import N_OF_M
from analysis.pruning.prunable import prunable
from analysis.pruning.updates import obs

TITLE = "N:M SparseGPT"
CITATION = "frantar2023sparsegpt"
KIND = "calibrated"
LEVELS = "patterns"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = None, N_OF_M, same, obs
