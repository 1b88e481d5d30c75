"""SparseGPT: by layer, the kept weights make up for the removed (Frantar & Alistarh 2023)."""

from analysis.pruning.allocation.uniform import uniform
from analysis.pruning.groups.columns import COLUMNS
from analysis.pruning.prunable import prunable
from analysis.pruning.updates import obs

TITLE = "SparseGPT"
CITATION = "frantar2023sparsegpt"
KIND = "calibrated"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = None, COLUMNS, uniform, obs
