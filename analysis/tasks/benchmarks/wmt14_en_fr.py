"""WMT 2014, English to French (Bojar et al. 2014): newstest2014."""

from analysis.tasks import Task
from analysis.tasks.wmt import LICENCE, MEASURES, newstest

HUB = newstest("en", "fr", "fr-en")
TASK = Task(
    title="WMT 2014, English to French",
    measures=MEASURES,
    form="text-to-text",
    inputs=("source",),
    target="target",
    metrics=("bleu", "chrf"),
    best={"bleu": 1.0, "chrf": 1.0},
    hub=HUB,
    languages=("en", "fr"),
    max_tokens=256,
    max_new_tokens=256,
    beams=None,
    split=HUB.split,
    revision=HUB.revision,
    licence=LICENCE,
)
