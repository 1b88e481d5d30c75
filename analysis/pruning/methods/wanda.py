"""Wanda: smallest |weight| times its input's norm, in each output row (Sun et al. 2024)."""

from analysis.pruning.allocation.uniform import uniform
from analysis.pruning.groups.row import ROW
from analysis.pruning.prunable import prunable
from analysis.pruning.scores.wanda import wanda
from analysis.pruning.updates import none

TITLE = "Wanda"
CITATION = "sun2024wanda"
KIND = "calibrated"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = wanda, ROW, uniform, none
