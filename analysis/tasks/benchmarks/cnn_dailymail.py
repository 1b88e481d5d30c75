"""CNN/DailyMail (Hermann et al. 2015; See et al. 2017): the highlights of an article."""

from analysis.tasks import HubData, Published, Task

_PEGASUS = "google-research/pegasus, README: HugeNews; its ROUGE-L is of the whole summary"
_BART = "fairseq, README of BART; its ROUGE-L is of the whole summary"

HUB = HubData(
    "abisee/cnn_dailymail",
    "3.0.0",
    "96df5e686bee6baa90b8bee7c28b81fa3fa6223d",
    columns={"document": "article", "summary": "highlights"},
    examples=11_490,
    train_examples=287_113,
)
TASK = Task(
    title="CNN/DailyMail",
    measures=(
        "how much of an article's highlights is written, in words and their order; BART's"
        " published scores are of tokenised text"
    ),
    form="text-to-text",
    inputs=("document",),
    target="summary",
    metrics=("rouge1", "rouge2", "rougeL", "rougeLsum"),
    best={"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0, "rougeLsum": 1.0},
    hub=HUB,
    max_tokens=1024,
    max_new_tokens=142,
    beams=None,
    published={
        "google/pegasus-cnn_dailymail": {
            "rouge1": Published(0.4417, _PEGASUS),
            "rouge2": Published(0.2147, _PEGASUS),
            "rougeLsum": Published(0.4111, _PEGASUS),
        },
        "facebook/bart-large-cnn": {
            "rouge1": Published(0.4416, _BART),
            "rouge2": Published(0.2128, _BART),
            "rougeLsum": Published(0.4090, _BART),
        },
    },
    licence="Apache 2.0 (the data set); articles of CNN and the Daily Mail",
)
