"""Global magnitude pruning of the prunable weights (Han et al. 2015, arXiv 1506.02626)."""

from analysis.pruning.groups.model import MODEL
from analysis.pruning.prunable import prunable
from analysis.pruning.scores.magnitude import magnitude

TITLE = "global magnitude"
CITATION = "han2015learning"
KIND = "weights"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = magnitude, MODEL, None, None
