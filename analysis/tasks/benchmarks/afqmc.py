"""AFQMC of CLUE: pairs of questions to a bank, in Chinese (Xu et al. 2020)."""

from analysis.tasks import Published, Task
from analysis.tasks.clue import ERLANGSHEN, LICENCE, data

HUB = data("afqmc")
TASK = Task(
    title="AFQMC",
    measures="whether two questions to a bank ask the same (1) or not (0), in Chinese",
    form="classification",
    inputs=("sentence1", "sentence2"),
    target="label",
    metrics=("accuracy",),
    best={"accuracy": 1.0},
    hub=HUB,
    max_tokens=128,
    published={
        "IDEA-CCNL/Erlangshen-MegatronBert-1.3B": {"accuracy": Published(0.7608, ERLANGSHEN)},
    },
    licence=LICENCE,
)
