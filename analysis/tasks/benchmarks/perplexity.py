"""The likelihood of texts, of a user's own files: one text a row or line."""

from collections.abc import Sequence

from analysis.tasks import Example, Row, Task


def _texts(rows: Sequence[Row]) -> list[Example]:
    """The texts that are not empty: in a text file, empty lines separate."""
    return [{"text": str(row["text"])} for row in rows if str(row["text"]).strip()]


TASK = Task(
    title="perplexity",
    measures="how well a text is foreseen, per word between white space, or per character or byte",
    form="causal",
    inputs=("text",),
    target=None,
    metrics=("perplexity",),
    examples_of=_texts,
    max_tokens=1024,
    licence="not stated",
)
