"""CLUE, a benchmark of Chinese (Xu et al. 2020), as the hub has it.

No commit of it is known here: what "main" was is recorded when it is read. Its test parts have no
labels, so the validation parts are the benchmarks.
"""

from analysis.tasks import HubData

LICENCE = "not stated; CLUE, for research"
ERLANGSHEN = "model card of Erlangshen-MegatronBert-1.3B: development part"


def data(name: str) -> HubData:
    """A task of CLUE."""
    return HubData("clue/clue", name, split="validation")
