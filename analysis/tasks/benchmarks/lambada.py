"""LAMBADA (Paperno et al. 2016): the last word of a passage, which takes all of it to guess."""

from collections.abc import Sequence

from analysis.tasks import Example, HubData, Published, Row, Task

_GPT2 = "GPT-2 paper, table 3: with a filter of stop words, which this has not"


def _passages(rows: Sequence[Row]) -> list[Example]:
    """All but the last word, and the last, without the full stop that some copies end in."""
    parts = [str(row["text"]).rstrip(" \t\r\n.").rpartition(" ") for row in rows]
    return [{"text": text.rstrip(), "last": last} for text, _, last in parts]


HUB = HubData(
    "EleutherAI/lambada_openai",
    "default",
    "900124bf3b8235c6daf21033af9948b3f07346c4",
    files="data/lambada_test.jsonl",
    train=None,
    examples=5_153,
)
TASK = Task(
    title="LAMBADA",
    measures=(
        "whether the last word of a passage is written, greedily and without a filter of stop"
        " words: published scores with one are several points higher"
    ),
    form="cloze",
    inputs=("text",),
    target="last",
    metrics=("accuracy",),
    best={"accuracy": 1.0},
    hub=HUB,
    examples_of=_passages,
    fields=("text",),
    max_tokens=512,
    max_new_tokens=8,
    published={
        "openai-community/gpt2": {"accuracy": Published(0.4599, _GPT2)},
        "openai-community/gpt2-medium": {"accuracy": Published(0.5548, _GPT2)},
        "openai-community/gpt2-xl": {"accuracy": Published(0.6324, _GPT2)},
    },
    licence="MIT (this copy); CC BY 4.0 (LAMBADA)",
)
