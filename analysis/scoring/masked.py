"""Pseudo-log-likelihood of texts under a masked language model.

Each token is hidden and guessed from the others (Salazar et al. 2020, `salazar2020masked`), and
with it those to its right in the same word, or the pieces of a rare word would tell each other
(PLL-word-l2r of Kauf & Ivanova 2023, `kauf2023better`).
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from analysis.errors import RequestError
from analysis.models.encoding import IGNORED, Batch, Row, positions
from analysis.scoring.form import Form, Read, asking
from analysis.tasks import Example, Task


class _Hidden(Sequence[Row]):
    """A row for each token of a text, made when it is asked for: together they are many."""

    def __init__(self, pieces: list["_Piece"], mask: int):
        self._pieces, self._mask = pieces, mask
        self._places = [
            (piece, i) for piece in pieces for i, word in enumerate(piece.words) if word is not None
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: Any) -> Any:
        piece, i = self._places[number]
        return piece.hidden(i, self._mask)


class _Piece:
    """A text, or a part of a long one: its tokens, framed, and the word of each (None: framing)."""

    def __init__(self, ids: list[int], words: list[int | None], owner: int):
        self.ids, self.words, self.owner = ids, words, owner

    def hidden(self, i: int, mask: int) -> Row:
        """The row in which token i is to be guessed."""
        ids = [
            mask if j >= i and word == self.words[i] else token
            for j, (token, word) in enumerate(zip(self.ids, self.words, strict=True))
        ]
        labels = [IGNORED] * len(ids)
        labels[i] = self.ids[i]
        return {"input_ids": ids, "labels": labels}


def _read(model: Any, tokenizer: Any, task: Task, examples: Sequence[Example]) -> Read:
    if tokenizer.mask_token_id is None or not tokenizer.is_fast:
        raise RequestError(
            f"{task.title} takes a tokenizer with a mask token that tells the words of a text;"
            f" {type(tokenizer).__name__} is none: give an encoder's own"
        )
    texts = [example[task.inputs[0]] for example in examples]
    pieces = _pieces(model, tokenizer, task, texts)
    owners = [piece.owner for piece in pieces for word in piece.words if word is not None]
    return Read(_Hidden(pieces, tokenizer.mask_token_id), owners, range(len(texts)))


def _pieces(model: Any, tokenizer: Any, task: Task, texts: list[str]) -> list[_Piece]:
    """Texts longer than the task or the model allows are cut between words, and read in parts."""
    before, after = _frame(tokenizer)
    most = min(task.max_tokens, positions(model, tokenizer) or task.max_tokens)
    most = max(1, most - len(before) - len(after))
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
    pieces = []
    for owner, ids in enumerate(encoded["input_ids"]):
        words = [-i if word is None else word for i, word in enumerate(encoded.word_ids(owner), 1)]
        start = 0
        while start < len(ids):
            end = _end_of_word(words, start, start + most)
            marked = [None] * len(before) + words[start:end] + [None] * len(after)
            pieces.append(_Piece([*before, *ids[start:end], *after], marked, owner))
            start = end
    return pieces


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens that are put before and behind every text."""
    encoded = tokenizer(["a"])
    ids, words = encoded["input_ids"][0], encoded.word_ids(0)
    own = [i for i, word in enumerate(words) if word is not None]
    return ids[: own[0]], ids[own[-1] + 1 :]


def _end_of_word(words: list[int], start: int, end: int) -> int:
    """The last end of a word in (start, end]; `end` itself inside a word as long as that."""
    if end >= len(words):
        return len(words)
    return next((i for i in range(end, start, -1) if words[i] != words[i - 1]), end)


def _log_likelihoods(model: Any, tokenizer: Any, task: Task, batch: Batch) -> list[float]:
    """In nats, of the one label of each row."""
    labels = batch.pop("labels")
    row, column = (labels != IGNORED).nonzero(as_tuple=True)
    with asking(model), _only_at(model, row, column):
        logits = model(**batch).logits
    chosen = logits[:, 0] if logits.shape[1] == 1 else logits[row, column]
    losses = torch.nn.functional.cross_entropy(
        chosen.float(), labels[row, column], reduction="none"
    )
    return (-losses.double()).tolist()


@contextlib.contextmanager
def _only_at(model: Any, row: torch.Tensor, column: torch.Tensor) -> Iterator[None]:
    """Inside, logits are computed for these tokens alone: [rows, 1, vocabulary]."""
    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, given: (given[0][row, column][:, None],))
    try:
        yield
    finally:
        hook.remove()


def _protocol(model: Any, tokenizer: Any, task: Task) -> str:
    most = min(task.max_tokens, positions(model, tokenizer) or task.max_tokens)
    return f"each token hidden with those to its right in its word, {most:,} tokens at most"


MASKED = Form(_read, _log_likelihoods, math.fsum, _protocol)
