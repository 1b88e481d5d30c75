"""Documents and their summaries, of a user's own files."""

from analysis.tasks import Task

TASK = Task(
    title="summarization",
    measures="how much of a person's summary is written, in words and their order",
    form="text-to-text",
    inputs=("document",),
    target="summary",
    metrics=("rouge1", "rouge2", "rougeL", "rougeLsum"),
    best={"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0, "rougeLsum": 1.0},
    max_tokens=1024,
    max_new_tokens=142,
    beams=None,
    licence="not stated",
)
