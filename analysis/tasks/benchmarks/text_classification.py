"""Texts in classes, of a user's own files."""

from analysis.tasks import Task

TASK = Task(
    title="text classification",
    measures="which class a text is of; labels may be words",
    form="classification",
    inputs=("sentence",),
    target="label",
    metrics=("accuracy",),
    best={"accuracy": 1.0},
    licence="not stated",
)
