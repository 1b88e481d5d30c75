"""The two GLUE tasks that are asked as classification and as text: their data and what is known.

The hidden test parts have no labels, so the validation parts are the benchmarks.
"""

from collections.abc import Sequence

from analysis.tasks import Example, HubData, Row

_COMMIT = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
SST2 = HubData(
    "nyu-mll/glue", "sst2", _COMMIT, split="validation", examples=872, train_examples=67_349
)
MRPC = HubData(
    "nyu-mll/glue", "mrpc", _COMMIT, split="validation", examples=408, train_examples=3_668
)
SST2_CLASSES = {"negative": 0, "positive": 1}  # the data set's own names
MRPC_CLASSES = {"not_equivalent": 0, "equivalent": 1}
SST2_LICENCE = "not stated; Stanford Sentiment Treebank, for research"
MRPC_LICENCE = "Microsoft Research Paraphrase Corpus, its own licence"
SST2_MEASURES = "whether a sentence of a film review praises (1) or condemns (0)"
MRPC_MEASURES = "whether two sentences of the news mean the same (1) or not (0)"


def stripped(rows: Sequence[Row]) -> list[Example]:
    """The rows without the blank that ends most sentences of SST-2: byte-level tokenizers make
    a token of it."""
    return [
        {name: v.strip() if isinstance(v, str) else v for name, v in row.items()} for row in rows
    ]
