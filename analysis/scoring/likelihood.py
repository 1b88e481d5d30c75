"""The likelihood of texts under a causal model, and whether it foresees their last words."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.errors import RequestError
from analysis.models.encoding import IGNORED, Batch, Row, ends_of_text, positions
from analysis.scoring.form import Form, Read, asking, only
from analysis.scoring.padding import in_codes, logits, require_known, tolerance
from analysis.tasks import Example, Task

# tokens read at once: all positions of the model, but no more than memory has room for
_LONGEST = 4096
_WITHOUT_LIMIT = 1024  # of a model without positions
_LOOKED_AT = 16  # tokens, to tell whether a model looks ahead


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
    size, (begin, end) = _window(model, tokenizer), ends_of_text(tokenizer)
    bodies = _ids(tokenizer, [example[task.inputs[0]] for example in examples])
    texts = [[*begin, *body, *(end if task.scores_end else [])] for body in bodies]
    found = [(row, i) for i, ids in enumerate(texts) for row in windows(ids, size)]
    _require_left_to_right(model, tokenizer, task, [row for row, _ in found])
    return Read([row for row, _ in found], [i for _, i in found], range(len(examples)))


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)[
        "input_ids"
    ]
    return found


def _window(model: Any, tokenizer: Any) -> int:
    return max(2, min(_LONGEST, positions(model, tokenizer) or _WITHOUT_LIMIT))


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
    with asking(model):
        logits = model(**batch).logits
    for i, row in enumerate(labels[:, 1:]):
        chosen = row != IGNORED
        yield logits[i, :-1][chosen], row[chosen]


def _read_cloze(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> Read:
    """Of a text longer than the task or the model allows its end is read.

    A text begins as the tokenizer begins any: GPT-2's with no token before the first word, as in
    its publication, Llama's with one. An empty one begins with the token for that.
    """
    assert task.target is not None
    before = [str(example[task.inputs[0]]).rstrip() for example in examples]
    asked = [str(example[task.target]).strip() for example in examples]
    contexts = _ids(tokenizer, before)
    whole = _ids(tokenizer, [f"{a} {b}" if a else b for a, b in zip(before, asked, strict=True)])
    size = min(task.max_tokens, _window(model, tokenizer))
    own = _own_beginning(tokenizer)
    rows = []
    for context, ids in zip(contexts, whole, strict=True):
        begin = own if own or context else ends_of_text(tokenizer)[0]
        known = len(begin) + min(_shared(context, ids), len(ids) - 1)
        labels = [IGNORED] * known + ids[known - len(begin) :]
        rows.append({"input_ids": [*begin, *ids][-size:], "labels": labels[-size:]})
    _require_left_to_right(model, tokenizer, task, rows)
    return Read(rows, range(len(rows)), range(len(rows)))


def _require_left_to_right(model: Any, tokenizer: Any, task: Task, rows: Sequence[Row]) -> None:
    """Raise RequestError for a model that sees what it is to foresee, as XLNet and BERT do: what it
    says of a token changes with those behind it."""
    require_known(model, tokenizer, rows)
    ids = max((row["input_ids"] for row in rows), key=len, default=[])[:_LOOKED_AT]
    if len(ids) < 2 or in_codes(model):
        return
    another = next((token for token in ids if token != ids[-1]), int(ids[-1] == 0))
    other = [*ids[:-1], another]  # of the text: CPM-Ant takes the token 0 for no token
    one, two = (logits(model, {"input_ids": torch.tensor([row])})[:, :-1] for row in (ids, other))
    if (one - two).abs().max() > tolerance(model) * one.abs().max():
        raise RequestError(
            f"{task.title} asks for the words that follow, and {type(model).__name__} sees them"
            " already; give a model that reads from left to right, or ask an encoder for"
            " wikitext2-masked"
        )


def _own_beginning(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before a text by itself."""
    (body,), (framed,) = _ids(tokenizer, ["a"]), tokenizer(["a"])["input_ids"]
    starts = range(len(framed) - len(body) + 1)
    start = next((i for i in starts if framed[i : i + len(body)] == body), 0)
    return list(framed[:start])


def _shared(one: list[int], other: list[int]) -> int:
    """How many tokens the two begin with alike: a tokenizer may join the last word to the text."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _foresees(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[int]:
    """1 where each label is the likeliest token after those before it, as greedy writing would
    have it, else 0."""
    return [
        int(len(labels) > 0 and torch.equal(logits.argmax(-1), labels))
        for logits, labels in _foreseen(model, batch)
    ]


def _protocol(model: Any, tokenizer: Any, task: Task) -> str:
    size = _window(model, tokenizer)
    beginning = _spelt(tokenizer, ends_of_text(tokenizer)[0])
    return f"windows of {size:,} tokens that overlap by half, {beginning}"


def _protocol_of_cloze(model: Any, tokenizer: Any, task: Task) -> str:
    size = min(task.max_tokens, _window(model, tokenizer))
    return f"greedy, the last {size:,} tokens, {_spelt(tokenizer, _own_beginning(tokenizer))}"


def _spelt(tokenizer: Any, begin: list[int]) -> str:
    names = " ".join(map(str, tokenizer.convert_ids_to_tokens(begin)))
    return f"{names} before a text" if begin else "no token before a text"


CAUSAL = Form(_read, _log_likelihoods, math.fsum, _protocol)
CLOZE = Form(_read_cloze, _foresees, only, _protocol_of_cloze)
