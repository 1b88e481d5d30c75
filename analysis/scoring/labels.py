"""Classification: the label that a model's head gives a sentence, or a pair of sentences."""

from collections.abc import Sequence
from typing import Any

from analysis.models.encoding import Batch, classification_rows, positions
from analysis.scoring.form import Form, Read, each_once, only
from analysis.tasks import Example, Task


def _read(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> Read:
    texts = [tuple(example[field] for field in task.inputs) for example in examples]
    distinct, places = each_once(texts)
    first, *rest = (list(column) for column in zip(*distinct, strict=True))
    most = min(task.max_tokens, positions(model, tokenizer) or task.max_tokens)
    rows = classification_rows(tokenizer, first, rest[0] if rest else None, most)
    return Read(rows, range(len(rows)), places)


def _answers(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[int]:
    return model(**batch).logits.argmax(-1).tolist()


CLASSIFICATION = Form(_read, _answers, only)
