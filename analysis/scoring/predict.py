"""A model's answers to a task's examples, in the order of the examples.

Examples are answered in batches of similar length, which changes their padding and not the answers
(but for a model in eight bits, whose activations have one scale a batch).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from analysis.models.encoding import padded
from analysis.progress import track
from analysis.scoring.batches import MEMORY_BYTES, Halving, by_length, rows_that_fit
from analysis.scoring.form import Form, Read
from analysis.scoring.labels import CLASSIFICATION
from analysis.scoring.likelihood import CAUSAL, CLOZE
from analysis.scoring.masked import MASKED
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
    expected  for each example, what the task's metrics hold the answer against
    """

    read: Read
    batches: Sequence[list[int]]
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
    """
    read = FORMS[task.form].read(model, tokenizer, task, examples)
    lengths = [len(row["input_ids"]) for row in read.rows]
    if batch_size == "auto":
        batches = by_length(lengths, rows_that_fit(model, task, memory_bytes))
    else:
        batches = by_length(lengths, lambda _: batch_size)
    return Inputs(read, batches, expected(task, examples))


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
        batch = padded(tokenizer, [rows[i] for i in chosen])
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
