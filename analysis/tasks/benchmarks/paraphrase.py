"""Paraphrase of generated sentences: the same event told twice, or nearly the same."""

from functools import partial

from analysis import language
from analysis.tasks import Task

TASK = Task(
    title="paraphrase",
    measures="whether two sentences mean the same",
    form="classification",
    inputs=("sentence1", "sentence2"),
    target="label",
    metrics=("accuracy", "f1"),
    generate=language.paraphrase,
    train=partial(language.paraphrase, split="train"),
    best={"accuracy": 1.0, "f1": 1.0},
)
