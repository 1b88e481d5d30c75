"""The news translations of WMT 2014 (Bojar et al. 2014), as the hub has them."""

from analysis.tasks import HubData

MEASURES = (
    "how near the translation of a sentence of the news is to a person's, in words and in"
    " characters; sacrebleu's, not that of tokenised text"
)
LICENCE = "not stated; WMT's test sets, for research"


def newstest(source: str, target: str, pair: str) -> HubData:
    """newstest2014 of a pair of languages; the corpus to train on is gigabytes, and left out:
    newstest2013 is what calibrates."""
    return HubData(
        "wmt/wmt14",
        pair,
        "b199e406369ec1b7634206d3ded5ba45de2fe696",
        train="validation",
        columns={"source": f"translation.{source}", "target": f"translation.{target}"},
    )
