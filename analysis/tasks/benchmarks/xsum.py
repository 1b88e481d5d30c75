"""XSum (Narayan et al. 2018): a BBC article in one sentence."""

from analysis.tasks import HubData, Published, Task

_PEGASUS = "google-research/pegasus, README: HugeNews"

HUB = HubData(
    "EdinburghNLP/xsum",
    "default",
    "7d4d486c2f8ef850b1a11aead99b894ff3dd7da9",
    files="data/{split}-*.parquet",
    examples=11_334,
    train_examples=204_045,
)
TASK = Task(
    title="XSum",
    measures="how much of the sentence that sums an article up is written, in words and order",
    form="text-to-text",
    inputs=("document",),
    target="summary",
    metrics=("rouge1", "rouge2", "rougeL"),
    best={"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0},
    hub=HUB,
    max_tokens=512,
    max_new_tokens=64,
    beams=None,
    published={
        "google/pegasus-xsum": {
            "rouge1": Published(0.4721, _PEGASUS),
            "rouge2": Published(0.2456, _PEGASUS),
            "rougeL": Published(0.3925, _PEGASUS),
        },
    },
    licence="not stated; articles of the BBC, for research",
)
