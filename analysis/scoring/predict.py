"""A model's answers to a task's examples, in the order of the examples.

Examples are answered in batches of similar length, which changes their padding and not the answers
(but for a model in eight bits, whose activations have one scale a batch).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from analysis.errors import RunError
from analysis.models.encoding import (
    Batch,
    causal_batch,
    classification_batch,
    text_to_text_batch,
)
from analysis.progress import track
from analysis.tasks import Example, Task, references

MAX_TOKENS = 256
_MAX_NEW_TOKENS = 32


@dataclass(frozen=True)
class Inputs:
    """A task's examples as models with one tokenizer read them, whatever their weights.

    batches   (which distinct inputs, their token ids), longest first, int64 [inputs, tokens]
    places    for each example, which distinct input is its own
    expected  for each example, what the task's metrics hold the answer against
    """

    batches: Sequence[tuple[list[int], Batch]]
    places: Sequence[int]
    expected: list[Any]


def prepare(tokenizer: Any, task: Task, examples: Sequence[Example], batch_size: int) -> Inputs:
    """The examples encoded, equal ones once, in batches with little padding."""
    texts = list(zip(*_columns(task, examples), strict=True))
    if task.form == "causal":
        # the last bits of a log likelihood are its batch's too: here texts that are alike stay
        # apart, and their words alone order them
        distinct, places = texts, list(range(len(texts)))
    else:
        distinct = list(dict.fromkeys(texts))
        number = {text: i for i, text in enumerate(distinct)}
        places = [number[text] for text in texts]
    encoded = _ENCODE[task.form](
        tokenizer, [list(column) for column in zip(*distinct, strict=True)]
    )
    tokens = encoded["attention_mask"].sum(dim=1).tolist()
    words = [sum(len(part.split()) for part in text) for text in distinct]
    length = words if task.form == "causal" else tokens
    order = sorted(range(len(distinct)), key=lambda i: -length[i])
    batches = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        width = max(tokens[i] for i in chosen)
        rows = {name: tensor[chosen, :width] for name, tensor in encoded.items()}
        batches.append((chosen, rows))
    return Inputs(batches, places, references(task, examples))


def predict(model: Any, tokenizer: Any, task: Task, inputs: Inputs) -> list[Any]:
    """Predictions as the task's metrics want them, one each an example.

    Labels for classification; log likelihoods (nats) for a causal model, to be held against words;
    texts for text-to-text.
    """
    answer = _ANSWERS[task.form]
    answers: dict[int, Any] = {}
    with torch.inference_mode():
        for chosen, batch in track(inputs.batches, "evaluating"):
            found = answer(model, tokenizer, task, _to(model.device, batch))
            answers.update(zip(chosen, found, strict=True))
    return [answers[place] for place in inputs.places]


def tokens_per_word(tokenizer: Any, task: Task, examples: Sequence[Example]) -> float:
    """How many tokens the tokenizer makes of a word of the task's texts, on average."""
    texts = [text for column in _columns(task, examples) for text in column]
    tokens = sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
    return tokens / sum(len(text.split()) for text in texts)


def _columns(task: Task, examples: Sequence[Example]) -> list[list[str]]:
    return [[example[field] for example in examples] for field in task.inputs]


def _to(device: torch.device, batch: Mapping[str, torch.Tensor]) -> Batch:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _pairs(tokenizer: Any, columns: list[list[str]]) -> Batch:
    first, *rest = columns
    return classification_batch(tokenizer, first, rest[0] if rest else None, MAX_TOKENS)


_ENCODE: dict[str, Callable[[Any, list[list[str]]], Batch]] = {
    "classification": _pairs,
    "causal": lambda tokenizer, columns: causal_batch(tokenizer, columns[0], MAX_TOKENS + 1),
    "text-to-text": lambda tokenizer, columns: text_to_text_batch(
        tokenizer, columns[0], None, MAX_TOKENS
    ),
}


def _labels(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[int]:
    return model(**batch).logits.argmax(-1).tolist()


def _log_likelihoods(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[float]:
    labels = batch.pop("labels")
    limit = min(MAX_TOKENS, getattr(model.config, "max_position_embeddings", MAX_TOKENS))
    if labels.shape[1] > limit:
        raise RunError(
            f"a text of {task.title} has more than the {limit} tokens that are scored at once:"
            " cut, it would seem likelier than it is; give shorter texts"
        )
    logits = model(**batch).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none"
    )
    return (-losses.double().sum(dim=1)).tolist()


def _texts(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[str]:
    written = model.generate(**batch, max_new_tokens=_MAX_NEW_TOKENS, num_beams=1, do_sample=False)
    return [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


_ANSWERS: dict[str, Callable[[Any, Any, Task, Batch], list[Any]]] = {
    "classification": _labels,
    "causal": _log_likelihoods,
    "text-to-text": _texts,
}
