"""Which rows are read together: those of about the same length, as many as memory allows."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from analysis.errors import RunError
from analysis.scoring.writing import beams_of, most_written
from analysis.tasks import Task

MEMORY_BYTES = 4_000_000_000  # for model and batch, unless a study says otherwise
_MOST_ROWS, _MOST_TOKENS = 256, 16384  # of a batch; more make no machine faster
_OF_FREE = 0.8  # of what is free on a GPU, for its blocks do not fill it
_SCORES = 8  # numbers for each pair of tokens and head: DeBERTa has its positions' besides
_SUMS = 4  # bytes: probabilities and likelihoods are float32 whatever the model's type


def by_length(
    lengths: Sequence[int],
    most_rows: Callable[[int], int],
    kinds: Sequence[Hashable] | None = None,
) -> list[list[int]]:
    """The rows' numbers in batches, longest first; rows as long stay in order.

    most_rows   how many rows of so many tokens a batch may have, at least 1
    kinds       for each row its kind: the rows of a batch are of one
    """
    apart: dict[Hashable, list[int]] = {}
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        apart.setdefault(kinds[i] if kinds else None, []).append(i)
    batches = []
    for order in apart.values():
        start = 0
        while start < len(order):
            end = start + most_rows(lengths[order[start]])
            batches.append(order[start:end])
            start = end
    return sorted(batches, key=lambda batch: -lengths[batch[0]])


def rows_that_fit(model: Any, task: Task, memory_bytes: int) -> Callable[[int], int]:
    """How many rows of so many tokens fit into that memory beside the model, at least 1.

    An estimate, from the model's config, of what a forward pass holds at once: a block's states and
    those inside its feed-forward layer, attention's scores, which grow as the square of the tokens,
    and the vocabulary's logits; of a model that writes, each beam's keys and values. On a GPU the
    memory is what is free there, if that is less.
    """
    left = memory_bytes - sum(weight.nbytes for weight in model.parameters())
    if model.device.type == "cuda":
        left = min(left, int(_OF_FREE * torch.cuda.mem_get_info(model.device)[0]))

    def fitting(tokens: int) -> int:
        tokens = max(1, tokens)
        fixed, each = _bytes(model, task, tokens)
        return max(1, min(_MOST_ROWS, _MOST_TOKENS // tokens, (left - fixed) // each))

    return fitting


def _bytes(model: Any, task: Task, tokens: int) -> tuple[int, int]:
    """What any batch of rows of so many tokens takes, and what each of its rows takes."""
    config, size = model.config, model.dtype.itemsize
    hidden = _of(config, "hidden_size", "d_model", default=768)
    inner = _of(
        config, "intermediate_size", "encoder_ffn_dim", "d_ff", "n_inner", default=4 * hidden
    )
    heads = _of(config, "num_attention_heads", "encoder_attention_heads", "num_heads", default=1)
    vocabulary = _of(config, "vocab_size", default=1)
    each = tokens * (8 * hidden + 2 * inner) * size + _SCORES * heads * tokens**2 * size
    if task.form in ("causal", "cloze"):
        return 2 * tokens * vocabulary * _SUMS, each + tokens * vocabulary * size
    if task.form == "masked":
        return 0, each + 3 * vocabulary * _SUMS
    if task.form == "text-to-text":
        beams = beams_of(model, task)
        layers = _of(config, "decoder_layers", "num_decoder_layers", "num_layers", default=12)
        kept = 2 * layers * hidden * (tokens + most_written(model, task)) * size
        return 0, each + beams * (kept + 4 * vocabulary * _SUMS)
    return 0, each


def _of(config: Any, *names: str, default: int) -> int:
    """The first of these that the config has; families call the same thing differently."""
    known = (getattr(config, name, None) for name in names)
    return int(next((value for value in known if value), default))


class Halving:
    """Answers to batches, those that do not fit into the GPU's memory in halves."""

    def __init__(self, answers: Callable[[list[int]], list[Any]]):
        self._answers = answers
        self._most: int | None = None  # rows, once a batch has had to be halved

    def __call__(self, chosen: list[int]) -> list[Any]:
        """One answer for each of these rows. Raises RunError if one alone does not fit."""
        step = self._most or len(chosen)
        parts = [chosen[i : i + step] for i in range(0, len(chosen), step)]
        return [answer for part in parts for answer in self._halved(part)]

    def _halved(self, chosen: list[int]) -> list[Any]:
        try:
            return self._answers(chosen)
        except torch.cuda.OutOfMemoryError as error:
            if len(chosen) == 1:
                raise RunError(
                    "one example alone does not fit into the GPU's memory beside the model; take"
                    " dtype bfloat16, device cpu or a GPU with more memory"
                ) from error
        torch.cuda.empty_cache()  # only now: the error held the batch's tensors
        middle = (len(chosen) + 1) // 2
        self._most = min(self._most or middle, middle)
        return self._halved(chosen[:middle]) + self._halved(chosen[middle:])
