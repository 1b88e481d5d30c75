"""SST-2 of GLUE: sentences of film reviews (Socher et al. 2013; Wang et al. 2019)."""

from analysis.tasks import Published, Task
from analysis.tasks.glue import SST2, SST2_CLASSES, SST2_LICENCE, SST2_MEASURES, stripped

_DEBERTA = "DeBERTa's README: GLUE, development part"

TASK = Task(
    title="SST-2",
    measures=SST2_MEASURES,
    form="classification",
    inputs=("sentence",),
    target="label",
    metrics=("accuracy",),
    best={"accuracy": 1.0},
    hub=SST2,
    examples_of=stripped,
    classes=SST2_CLASSES,
    max_tokens=128,
    published={
        "google-bert/bert-base-uncased": {
            "accuracy": Published(0.935, "BERT paper, table 1: GLUE, hidden test part")
        },
        "google-bert/bert-large-uncased": {"accuracy": Published(0.932, _DEBERTA)},
        "facebook/bart-large": {
            "accuracy": Published(0.966, "fairseq, README of BART: GLUE, development part")
        },
        "FacebookAI/roberta-base": {
            "accuracy": Published(0.948, "fairseq, README of RoBERTa: GLUE, development part")
        },
        "microsoft/deberta-v2-xxlarge": {"accuracy": Published(0.972, _DEBERTA)},
    },
    licence=SST2_LICENCE,
)
