"""Batches of training examples, by the form of the task."""

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from analysis.models.encoding import (
    Batch,
    causal_rows,
    classification_batch,
    ends_of_text,
    framed,
    masked_batch,
    text_to_text_batch,
)
from analysis.models.languages import set_languages

Example = dict[str, Any]
MakeBatch = Callable[[list[Example]], Batch]
OfForm = Callable[[PreTrainedTokenizerBase, list[Example], int], Batch]

_POOL = 16  # batches sorted by length together, so that little is padded
_HIDDEN = 0.15  # of the words of a masked text (BERT, section 3.1)


def by_form(seed: int) -> dict[str, OfForm]:
    """For each form of task, what makes a batch of tokenizer, examples and the tokens that a text
    is cut at. Which words of masked texts are hidden is drawn with the seed."""
    hidden = torch.Generator().manual_seed(seed)
    return {
        "classification": _classification,
        "causal": causal_batch_of,
        "text-to-text": _text_to_text,
        "masked": functools.partial(_masked, generator=hidden),
    }


def in_windows(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_tokens: int
) -> list[Example]:
    """The examples, those with a `text` of more than `max_tokens` tokens as windows of `ids`.

    Each window begins with the last token of the one before: every token is predicted once.
    Examples that are windows already stay as they are.
    """
    texts = [example["text"] for example in examples if "ids" not in example]
    rows = iter(framed(tokenizer, texts) if texts else [])
    found: list[Example] = []
    for example in examples:
        row = [] if "ids" in example else next(rows)
        if len(row) <= max_tokens:
            found.append(example)
            continue
        starts = range(0, len(row) - 1, max(1, max_tokens - 1))
        found += [{"ids": row[start : start + max_tokens]} for start in starts]
    return found


def causal_batch_of(
    tokenizer: PreTrainedTokenizerBase, chosen: list[Example], max_tokens: int
) -> Batch:
    """A batch of texts, or of windows of them (`in_windows`), for next-word prediction."""
    begin, end = ends_of_text(tokenizer)
    texts = [example["text"] for example in chosen if "ids" not in example]
    bodies = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    rows = [e["ids"] if "ids" in e else [*begin, *next(bodies), *end][:max_tokens] for e in chosen]
    return causal_rows(tokenizer, rows)


def shuffled_batches(
    examples: Sequence[Example], batch_size: int, make: MakeBatch, *, seed: int
) -> Iterator[Batch]:
    """Batches for ever: each epoch in a new order, examples of about the same length together."""
    rng = random.Random(seed)
    order = list(range(len(examples)))
    while True:
        rng.shuffle(order)
        groups = []
        for start in range(0, len(order), batch_size * _POOL):
            pool = sorted(
                order[start : start + batch_size * _POOL], key=lambda i: _length(examples[i])
            )
            groups += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        rng.shuffle(groups)
        for group in groups:
            yield make([examples[i] for i in group])


def _length(example: Example) -> int:
    return sum(len(value) for value in example.values() if isinstance(value, str | list))


def _classification(
    tokenizer: PreTrainedTokenizerBase, chosen: list[Example], max_tokens: int
) -> Batch:
    second = [example["second"] for example in chosen] if "second" in chosen[0] else None
    batch = classification_batch(tokenizer, [e["first"] for e in chosen], second, max_tokens)
    return batch | {"labels": torch.tensor([example["label"] for example in chosen])}


def _text_to_text(
    tokenizer: PreTrainedTokenizerBase, chosen: list[Example], max_tokens: int
) -> Batch:
    set_languages(tokenizer, chosen[0].get("languages"))
    sources, targets = [e["source"] for e in chosen], [e["target"] for e in chosen]
    return text_to_text_batch(tokenizer, sources, targets, max_tokens)


def _masked(
    tokenizer: PreTrainedTokenizerBase,
    chosen: list[Example],
    max_tokens: int,
    generator: torch.Generator,
) -> Batch:
    texts = [example["text"] for example in chosen]
    return masked_batch(tokenizer, texts, None, max_tokens, share=_HIDDEN, generator=generator)
