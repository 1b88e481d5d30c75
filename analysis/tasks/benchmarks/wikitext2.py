"""WikiText-2 (Merity et al. 2017): the likelihood of whole articles of Wikipedia."""

from analysis.tasks import Published, Task
from analysis.tasks.wikitext import DATA, LICENCE, articles

_GPT2 = "GPT-2 paper, table 3"

TASK = Task(
    title="WikiText-2",
    measures=(
        "how well the next word of an encyclopedia is foreseen: perplexity per token of the data"
        " set, over its raw articles put together again; GPT-2's paper used its own rules for that"
    ),
    form="causal",
    inputs=("text",),
    target=None,
    metrics=("perplexity",),
    hub=DATA,
    examples_of=articles,
    fields=("text",),
    max_tokens=1024,
    published={
        "openai-community/gpt2": {"perplexity": Published(29.41, _GPT2)},
        "openai-community/gpt2-medium": {"perplexity": Published(22.76, _GPT2)},
        "openai-community/gpt2-xl": {"perplexity": Published(18.34, _GPT2)},
    },
    licence=LICENCE,
)
