"""WikiText-2 for encoders: pseudo-perplexity of its sentences (Salazar et al. 2020)."""

from analysis.tasks import Task
from analysis.tasks.wikitext import DATA, LICENCE, sentences

TASK = Task(
    title="WikiText-2, masked words",
    measures=(
        "how well each word is guessed from all others of its sentence, of 5 to 40 words:"
        " pseudo-perplexity, not to be compared with a perplexity"
    ),
    form="masked",
    inputs=("text",),
    target=None,
    metrics=("perplexity",),
    hub=DATA,
    examples_of=sentences,
    fields=("text",),
    max_tokens=128,
    licence=LICENCE,
)
