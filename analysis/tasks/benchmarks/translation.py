"""Sentences and their translations, of a user's own files."""

from analysis.tasks import Task

TASK = Task(
    title="translation",
    measures="how near a translation is to a person's, in words and in characters",
    form="text-to-text",
    inputs=("source",),
    target="target",
    metrics=("bleu", "chrf"),
    languages=(),
    best={"bleu": 1.0, "chrf": 1.0},
    max_new_tokens=128,
    beams=None,
    licence="not stated",
)
