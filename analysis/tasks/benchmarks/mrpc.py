"""MRPC of GLUE: pairs of sentences of the news (Dolan and Brockett 2005; Wang et al. 2019)."""

from analysis.tasks import Published, Task
from analysis.tasks.glue import MRPC, MRPC_CLASSES, MRPC_LICENCE, MRPC_MEASURES, stripped

_DEBERTA = "DeBERTa's README: GLUE, development part"

TASK = Task(
    title="MRPC",
    measures=f"{MRPC_MEASURES}; two pairs in three do, so that saying yes to all is no skill",
    form="classification",
    inputs=("sentence1", "sentence2"),
    target="label",
    metrics=("combined", "accuracy", "f1"),
    best={"combined": 1.0, "accuracy": 1.0, "f1": 1.0},
    hub=MRPC,
    examples_of=stripped,
    classes=MRPC_CLASSES,
    max_tokens=128,
    published={
        "google-bert/bert-base-uncased": {
            "f1": Published(0.889, "BERT paper, table 1: GLUE, hidden test part")
        },
        "google-bert/bert-large-uncased": {"accuracy": Published(0.880, _DEBERTA)},
        "facebook/bart-large": {
            "accuracy": Published(0.904, "fairseq, README of BART: GLUE, development part")
        },
        "FacebookAI/roberta-base": {
            "accuracy": Published(0.902, "fairseq, README of RoBERTa: GLUE, development part")
        },
        "microsoft/deberta-v2-xxlarge": {
            "accuracy": Published(0.931, _DEBERTA),
            "f1": Published(0.949, _DEBERTA),
        },
    },
    licence=MRPC_LICENCE,
)
