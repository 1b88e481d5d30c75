"""SST-2 of GLUE as text to text: the answer is written (Raffel et al. 2020, appendix D)."""

from analysis.tasks import Task
from analysis.tasks.glue import SST2, SST2_LICENCE, SST2_MEASURES, stripped

TASK = Task(
    title="SST-2 as text",
    measures=f"{SST2_MEASURES}; the word for it is written, and any other counts as wrong",
    form="text-to-text",
    inputs=("sentence",),
    target="label",
    metrics=("accuracy",),
    best={"accuracy": 1.0},
    hub=SST2,
    examples_of=stripped,
    prompt="sst2 sentence: {sentence}",
    label_words=("negative", "positive"),
    max_tokens=128,
    max_new_tokens=8,
    licence=SST2_LICENCE,
)
