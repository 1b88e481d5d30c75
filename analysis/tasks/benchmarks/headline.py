"""Headlines of generated articles: who did what, where, in the present tense."""

from functools import partial

from analysis import language
from analysis.tasks import Task

TASK = Task(
    title="headline writing",
    measures="whether the headline of an article is written as its author would",
    form="text-to-text",
    inputs=("document",),
    target="summary",
    metrics=("rougeL", "rouge1", "rouge2", "bleu"),
    generate=language.headline,
    train=partial(language.headline, split="train"),
    best={"rougeL": 1.0, "rouge1": 1.0, "rouge2": 1.0, "bleu": 1.0},
)
