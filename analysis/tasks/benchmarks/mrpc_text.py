"""MRPC of GLUE as text to text: the answer is written (Raffel et al. 2020, appendix D)."""

from analysis.tasks import Task
from analysis.tasks.glue import MRPC, MRPC_LICENCE, MRPC_MEASURES, stripped

TASK = Task(
    title="MRPC as text",
    measures=f"{MRPC_MEASURES}; the word for it is written, and any other counts as wrong",
    form="text-to-text",
    inputs=("sentence1", "sentence2"),
    target="label",
    metrics=("combined", "accuracy", "f1"),
    best={"combined": 1.0, "accuracy": 1.0, "f1": 1.0},
    hub=MRPC,
    examples_of=stripped,
    prompt="mrpc sentence1: {sentence1} sentence2: {sentence2}",
    label_words=("not_equivalent", "equivalent"),
    max_tokens=128,
    max_new_tokens=8,
    licence=MRPC_LICENCE,
)
