"""The likelihood of texts under a causal model, and whether it foresees their last words."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.models.encoding import IGNORED, Batch, Row, framed, positions
from analysis.scoring.form import Form, Read, only
from analysis.tasks import Example, Task

_WINDOW = 1024  # tokens read at once at most, as in GPT-2's own evaluation


def windows(ids: list[int], size: int) -> Iterator[Row]:
    """A text of n tokens as rows of at most `size`, `labels` where a token is to be scored.

    Each token but the first is scored in exactly one row, and seen there with all tokens before it
    or with at least size // 2 of them: a window begins half its size after the one before, and
    scores what that one did not reach.
    """
    scored = 0
    for start in range(0, len(ids), max(1, size // 2)):
        end = min(start + size, len(ids))
        yield {
            "input_ids": ids[start:end],
            "labels": [IGNORED] * (scored - start) + ids[scored:end],
        }
        scored = end
        if end == len(ids):
            return


def _read(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> Read:
    # texts that are alike stay apart: the last bits of a log likelihood are its batch's too
    size = _window(model, tokenizer)
    texts = framed(tokenizer, [example[task.inputs[0]] for example in examples])
    found = [(row, i) for i, ids in enumerate(texts) for row in windows(ids, size)]
    return Read([row for row, _ in found], [i for _, i in found], range(len(examples)))


def _window(model: Any, tokenizer: Any) -> int:
    return max(2, min(_WINDOW, positions(model, tokenizer) or _WINDOW))


def _log_likelihoods(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[float]:
    """In nats, the sum over the labels of each row."""
    cross_entropy = torch.nn.functional.cross_entropy
    return [
        -float(cross_entropy(logits.float(), labels, reduction="none").double().sum())
        for logits, labels in _foreseen(model, batch)
    ]


def _foreseen(model: Any, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """Row by row, so that float32 copies stay small: the logits [labels, vocabulary] of its labels
    and the labels themselves."""
    labels = batch.pop("labels")
    logits = model(**batch).logits
    for i, row in enumerate(labels[:, 1:]):
        chosen = row != IGNORED
        yield logits[i, :-1][chosen], row[chosen]


def _read_cloze(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> Read:
    """Of a text longer than the task or the model allows its end is read."""
    assert task.target is not None
    before = [str(example[task.inputs[0]]).rstrip() for example in examples]
    asked = [str(example[task.target]).strip() for example in examples]
    contexts = framed(tokenizer, before)
    whole = framed(tokenizer, [f"{a} {b}" for a, b in zip(before, asked, strict=True)])
    size = min(task.max_tokens, _window(model, tokenizer))
    rows = []
    for context, ids in zip(contexts, whole, strict=True):
        body = ids[:-1]  # the text's end is not asked for
        known = min(_shared(context, body), len(body) - 1)
        labels = [IGNORED] * known + body[known:]
        rows.append({"input_ids": body[-size:], "labels": labels[-size:]})
    return Read(rows, range(len(rows)), range(len(rows)))


def _shared(one: list[int], other: list[int]) -> int:
    """How many tokens the two begin with alike: a tokenizer may join the last word to the text."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _foresees(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[int]:
    """1 where each label is the likeliest token after those before it, as greedy writing would
    have it, else 0."""
    return [
        int(torch.equal(logits.argmax(-1), labels)) for logits, labels in _foreseen(model, batch)
    ]


CAUSAL = Form(_read, _log_likelihoods, math.fsum)
CLOZE = Form(_read_cloze, _foresees, only)
