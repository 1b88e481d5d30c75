"""A model's answers to a task's examples, in the order of the examples.

Examples are answered in batches of similar length, which changes their padding and not the answers.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from analysis.engine.progress import track
from analysis.models.encoding import padded
from analysis.scoring.batches import MEMORY_BYTES, Halving, by_length, rows_that_fit
from analysis.scoring.form import Form, Read
from analysis.scoring.labels import CLASSIFICATION
from analysis.scoring.likelihood import CAUSAL, CLOZE
from analysis.scoring.masked import MASKED
from analysis.scoring.padding import filler, kinds, require_known, taken_by
from analysis.scoring.writing import TEXT_TO_TEXT
from analysis.tasks import Example, Task, references

FORMS: Mapping[str, Form] = {
    "classification": CLASSIFICATION,
    "causal": CAUSAL,
    "cloze": CLOZE,
    "masked": MASKED,
    "text-to-text": TEXT_TO_TEXT,
}


@dataclass(frozen=True)
class Inputs:
    """A task's examples as models of one shape read them, whatever their weights.

    read      the rows of token ids
    batches   the numbers of the rows that are read together, longest first
    filled_with   the token that stands behind the shorter of them
    expected  for each example, what the task's metrics hold the answer against
    """

    read: Read
    batches: Sequence[list[int]]
    filled_with: int
    expected: list[Any]


def prepare(
    model: Any,
    tokenizer: Any,
    task: Task,
    examples: Sequence[Example],
    batch_size: int | Literal["auto"],
    memory_bytes: int = MEMORY_BYTES,
) -> Inputs:
    """The examples encoded, in batches with little padding.

    model         whose config says how much it reads at once
    batch_size    rows of a batch; "auto" takes as many as fit into `memory_bytes` (see
                  `batches.rows_that_fit`)

    A classifier that knows no padding is told one. Raises RequestError if tokenizer, model and task
    do not fit each other.
    """
    read = FORMS[task.form].read(model, tokenizer, task, examples)
    rows = read.rows
    require_known(model, tokenizer, rows)
    filled_with = filler(model, tokenizer, task.form, rows)
    lengths = [len(row["input_ids"]) for row in rows]
    alike = kinds(model, tokenizer, task.form, rows, lengths, filled_with)
    fitting = rows_that_fit(model, task, memory_bytes)
    most_rows = fitting if batch_size == "auto" else lambda _: batch_size
    batches = by_length(lengths, most_rows, alike)
    return Inputs(read, batches, filled_with, expected(task, examples))


def protocol(model: Any, tokenizer: Any, task: Task) -> str:
    """How the model is asked, in a few words for a table."""
    return FORMS[task.form].protocol(model, tokenizer, task)


def expected(task: Task, examples: Sequence[Example]) -> list[Any]:
    """What `predict` is held against: the references, but 1 for each text whose last word a model
    is asked for, where the prediction is whether it was foreseen."""
    return [1] * len(examples) if task.form == "cloze" else references(task, examples)


def predict(model: Any, tokenizer: Any, task: Task, inputs: Inputs) -> list[Any]:
    """Predictions as the task's metrics want them, one each an example.

    Labels for classification and where text-to-text stands for labels (-1: another text); texts for
    other text-to-text; log likelihoods (nats) for causal and masked models, to be held against
    words; for cloze 1 where the last word was foreseen, else 0.
    """
    form, rows = FORMS[task.form], inputs.read.rows

    def answers(chosen: list[int]) -> list[Any]:
        batch = taken_by(model, padded(tokenizer, [rows[i] for i in chosen], inputs.filled_with))
        batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
        return form.answers(model, tokenizer, task, batch)

    halving = Halving(answers)
    found: dict[int, Any] = {}
    with torch.inference_mode():
        for chosen in track(inputs.batches, "evaluating"):
            found.update(zip(chosen, halving(chosen), strict=True))
    parts: dict[int, list[Any]] = defaultdict(list)
    for number, owner in enumerate(inputs.read.owners):
        parts[owner].append(found[number])
    return [form.whole(parts[place]) for place in inputs.read.places]


def tokens_per_word(tokenizer: Any, task: Task, examples: Sequence[Example]) -> float:
    """How many tokens the tokenizer makes of a word of the task's texts, on average; words are
    those that a perplexity is per, if the task has one."""
    texts = [str(example[field]) for field in task.inputs for example in examples]
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    words = [len(text.split()) for text in texts] if task.target else references(task, examples)
    return sum(map(len, encoded)) / max(1, sum(words))
