"""The homework's method: global magnitude over every tensor called `weight`.

That is what `torch.nn.utils.prune.global_unstructured` was given there: embeddings, norms and
heads included. Biases stay.
"""

from analysis.pruning.groups.model import MODEL
from analysis.pruning.prunable import called_weight
from analysis.pruning.scores.magnitude import magnitude

TITLE = "global magnitude, all weights"
CITATION = "paszke2019pytorch"
KIND = "weights"
in_scope = called_weight
SCORE, GROUP, ALLOCATION, UPDATE = magnitude, MODEL, None, None
