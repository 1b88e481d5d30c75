"""A model's answers to a task's examples, in the order of the examples.

Examples are answered in batches of similar length, which changes their padding and not the answers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from analysis.errors import RunError
from analysis.models.encoding import causal_batch, classification_batch, text_to_text_batch
from analysis.progress import track
from analysis.tasks import Example, Task, references

MAX_TOKENS = 256
_MAX_NEW_TOKENS = 32


def predict(
    model: Any, tokenizer: Any, task: Task, examples: Sequence[Example], batch_size: int
) -> tuple[list[Any], list[Any]]:
    """Predictions and references as the task's metrics want them, one each an example.

    Labels for classification; log likelihoods (nats) and words for a causal model; texts for
    text-to-text.
    """
    answer = _ANSWERS[task.form]
    order = sorted(range(len(examples)), key=lambda i: -_length(examples[i], task))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    predictions: list[Any] = [None] * len(examples)
    with torch.inference_mode():
        for batch in track(batches, "evaluating"):
            answers = answer(model, tokenizer, task, [examples[i] for i in batch])
            for i, value in zip(batch, answers, strict=True):
                predictions[i] = value
    return predictions, references(task, examples)


def tokens_per_word(tokenizer: Any, task: Task, examples: Sequence[Example]) -> float:
    """How many tokens the tokenizer makes of a word of the task's texts, on average."""
    texts = [text for column in _columns(task, examples) for text in column]
    tokens = sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
    return tokens / sum(len(text.split()) for text in texts)


def _length(example: Example, task: Task) -> int:
    return sum(len(example[field].split()) for field in task.inputs)


def _columns(task: Task, examples: Sequence[Example]) -> list[list[str]]:
    return [[example[field] for example in examples] for field in task.inputs]


def _to(device: torch.device, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _labels(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> list[int]:
    first, *rest = _columns(task, examples)
    batch = classification_batch(tokenizer, first, rest[0] if rest else None, MAX_TOKENS)
    return model(**_to(model.device, batch)).logits.argmax(-1).tolist()


def _log_likelihoods(
    model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]
) -> list[float]:
    texts = _columns(task, examples)[0]
    batch = _to(model.device, causal_batch(tokenizer, texts, MAX_TOKENS + 1))
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


def _texts(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> list[str]:
    batch = text_to_text_batch(tokenizer, _columns(task, examples)[0], None, MAX_TOKENS)
    written = model.generate(
        **_to(model.device, batch), max_new_tokens=_MAX_NEW_TOKENS, num_beams=1, do_sample=False
    )
    return [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


_ANSWERS: dict[str, Callable[[Any, Any, Task, Sequence[Example]], list[Any]]] = {
    "classification": _labels,
    "causal": _log_likelihoods,
    "text-to-text": _texts,
}
