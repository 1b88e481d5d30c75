"""The news translations of WMT 2014 (Bojar et al. 2014), as the hub has them."""

from analysis.tasks import HubData, Task


def newstest(target: str, pair: str, language: str) -> Task:
    """newstest2014 from English; the corpus to train on is gigabytes, and left out: newstest2013
    is what calibrates.

    target, language   the code and the name of the language that is written
    pair               what the hub calls the two
    """
    hub = HubData(
        "wmt/wmt14",
        pair,
        "b199e406369ec1b7634206d3ded5ba45de2fe696",
        train="validation",
        columns={"source": "translation.en", "target": f"translation.{target}"},
        examples=3_003,
        train_examples=3_000,
    )
    return Task(
        title=f"WMT 2014, English to {language}",
        measures="how near the translation of a sentence of the news is to a person's, in words"
        " and in characters; sacrebleu's, not that of tokenised text",
        form="text-to-text",
        inputs=("source",),
        target="target",
        metrics=("bleu", "chrf"),
        best={"bleu": 1.0, "chrf": 1.0},
        hub=hub,
        languages=("en", target),
        max_tokens=256,
        max_new_tokens=256,
        beams=None,
        licence="not stated; WMT's test sets, for research",
    )
