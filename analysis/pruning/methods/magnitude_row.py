"""Magnitude pruning of each output row on its own: Wanda's comparison group, without its data."""

from analysis.pruning.allocation.uniform import uniform
from analysis.pruning.groups.row import ROW
from analysis.pruning.prunable import prunable
from analysis.pruning.scores.magnitude import magnitude

TITLE = "magnitude by row"
CITATION = "sun2024wanda"
KIND = "weights"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = magnitude, ROW, uniform, None
