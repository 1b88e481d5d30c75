"""TNEWS of CLUE: headlines of the news in fifteen subjects, in Chinese (Xu et al. 2020)."""

from analysis.tasks import Published, Task
from analysis.tasks.clue import ERLANGSHEN, LICENCE, data

HUB = data("tnews")
TASK = Task(
    title="TNEWS",
    measures="which of fifteen subjects a headline is of, in Chinese",
    form="classification",
    inputs=("sentence",),
    target="label",
    metrics=("accuracy",),
    best={"accuracy": 1.0},
    hub=HUB,
    max_tokens=128,
    published={
        "IDEA-CCNL/Erlangshen-MegatronBert-1.3B": {"accuracy": Published(0.5996, ERLANGSHEN)},
    },
    licence=LICENCE,
)
