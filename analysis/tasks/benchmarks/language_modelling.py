"""Language modelling of generated paragraphs, whose exact probabilities are known."""

from analysis import language
from analysis.tasks import Task

TASK = Task(
    title="language modelling",
    measures="how well the next word is foreseen",
    form="causal",
    inputs=("text",),
    target=None,
    metrics=("perplexity",),
    generate=language.language_modelling,
    best={},
)
