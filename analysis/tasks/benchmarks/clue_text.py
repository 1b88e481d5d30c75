"""Running Chinese text: the abstracts of papers that CLUE's CSL has (Xu et al. 2020)."""

from collections.abc import Sequence

from analysis.tasks import Example, Row, Task
from analysis.tasks.clue import LICENCE, data


def _abstracts(rows: Sequence[Row]) -> list[Example]:
    """Each abstract once: the data set pairs it with keywords that are and are not its own."""
    return [{"text": text} for text in dict.fromkeys(str(row["abst"]).strip() for row in rows)]


HUB = data("csl")
TASK = Task(
    title="CLUE text",
    measures=(
        "how well the next character of a Chinese abstract is foreseen: perplexity per character,"
        " white space not counted, since Chinese does not separate words"
    ),
    form="causal",
    inputs=("text",),
    target=None,
    metrics=("perplexity",),
    hub=HUB,
    examples_of=_abstracts,
    fields=("abst",),
    unit="character",
    max_tokens=1024,
    licence=LICENCE,
)
