"""Random pruning: every weight in scope is as likely to go. The floor for all other methods."""

from analysis.pruning.groups.model import MODEL
from analysis.pruning.prunable import prunable
from analysis.pruning.scores.random import random

TITLE = "random"
CITATION = "hoefler2021sparsity"
KIND = "weights"
in_scope = prunable
SCORE, GROUP, ALLOCATION, UPDATE = random, MODEL, None, None
