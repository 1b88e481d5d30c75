"""Pairs of texts in classes, of a user's own files; F1 is that of label 1."""

from analysis.tasks import Task

TASK = Task(
    title="pair classification",
    measures="which class two texts are of; labels may be words",
    form="classification",
    inputs=("sentence1", "sentence2"),
    target="label",
    metrics=("accuracy", "f1"),
    best={"accuracy": 1.0, "f1": 1.0},
    licence="not stated",
)
