"""Language modelling of generated paragraphs, whose exact probabilities are known."""

from analysis import language
from analysis.tasks import Example, Task


def _paragraphs(count: int, seed: int) -> list[Example]:
    """Training texts, without the probabilities that only tests need."""
    return [{"text": text} for text in language.paragraphs(count, seed)]


TASK = Task(
    title="language modelling",
    measures="how well the next word is foreseen",
    form="causal",
    inputs=("text",),
    target=None,
    scores_end=True,  # as the grammar's own probabilities have it
    metrics=("perplexity",),
    generate=language.language_modelling,
    train=_paragraphs,
)
