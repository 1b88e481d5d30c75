"""Sentiment of generated reviews: negation, degree and contrast decide, not single words."""

from functools import partial

from analysis import language
from analysis.tasks import Task

TASK = Task(
    title="sentiment",
    measures="whether a review praises or condemns",
    form="classification",
    inputs=("sentence",),
    target="label",
    metrics=("accuracy",),
    generate=language.sentiment,
    train=partial(language.sentiment, split="train"),
    best={"accuracy": 1.0},
)
