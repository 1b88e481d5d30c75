"""Classification: the label that a model's head gives a sentence, or a pair of sentences."""

from collections.abc import Sequence
from typing import Any

from analysis.models.encoding import Batch, classification_rows, positions
from analysis.models.heads import classes_of_head
from analysis.scoring.form import Form, Read, asking, each_once, only
from analysis.tasks import Example, Task


def _read(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> Read:
    """Raises RequestError if the head is not for the task's classes."""
    _classes(model, task)
    texts = [tuple(example[field] for field in task.inputs) for example in examples]
    distinct, places = each_once(texts)
    first, *rest = (list(column) for column in zip(*distinct, strict=True))
    most = min(task.max_tokens, positions(model, tokenizer) or task.max_tokens)
    rows = classification_rows(tokenizer, first, rest[0] if rest else None, most)
    return Read(rows, range(len(rows)), places)


def _classes(model: Any, task: Task) -> list[int]:
    """The data's number for each output of the head."""
    return classes_of_head(model.config, task.classes, closed=task.knows_all_classes)


def _answers(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[int]:
    classes = _classes(model, task)
    with asking(model):
        outputs = model(**batch).logits.argmax(-1).tolist()
    return [classes[output] for output in outputs]


def _protocol(model: Any, tokenizer: Any, task: Task) -> str:
    most = min(task.max_tokens, positions(model, tokenizer) or task.max_tokens)
    return f"the likeliest class, {most:,} tokens at most"


CLASSIFICATION = Form(_read, _answers, only, _protocol)
