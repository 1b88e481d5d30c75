"""The course that a training takes: on what, how fast, for how long, and where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.errors import RequestError
from analysis.models.encoding import positions
from analysis.training.batches import Example, in_windows


@dataclass(frozen=True, kw_only=True)
class Updates:
    """How weights are updated.

    what           what an error and the progress say of it
    dtype          in which matrices are multiplied: "float32" or "bfloat16"; weights and their
                   updates stay in float32
    rows_at_once   texts of a batch that are gone through together; None is all
    """

    learning_rate: float
    weight_decay: float = 0.01
    what: str = "training"
    dtype: str = "float32"
    rows_at_once: int | None = None

    @property
    def autocast(self) -> torch.dtype | None:
        """The type to multiply matrices in, None for the weights' own float32.

        Raises RequestError if the type is none of those that training keeps its precision in.
        """
        if self.dtype not in ("float32", "bfloat16"):
            raise RequestError(
                f"models are fine-tuned in float32 or bfloat16; {self.dtype!r} would lose small"
                " gradients"
            )
        return torch.bfloat16 if self.dtype == "bfloat16" else None


@dataclass(frozen=True, kw_only=True)
class Course(Updates):
    """What a model is trained on, and how.

    Examples hold, by form: classification `first`, `label` and, for pairs, `second` (and where they
    have a `label_word`, the label is the output of the head that is called so); causal and
    masked `text`; text-to-text `source` and `target`. Causal texts are read whole, in windows of
    `max_tokens`, or of what the model reads at most; others are cut there. `device` is "cpu" or
    "cuda".
    """

    form: str
    examples: Sequence[Example]
    batch_size: int
    seed: int
    epochs: float = 1.0
    max_tokens: int = 128
    threads: int = 1
    device: str = "cpu"
    what: str = "fine-tuning"

    @property
    def steps_per_epoch(self) -> int:
        """Batches, the last of which may be smaller, in one pass over the examples."""
        return math.ceil(len(self.examples) / self.batch_size)

    @property
    def steps(self) -> int:
        """Batches in all, if every epoch has so many."""
        return max(1, round(self.epochs * self.steps_per_epoch))

    def read_by(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> "Course":
        """The course as this model takes it: causal texts in the windows that it reads, so that an
        epoch is one pass over them."""
        limit = min(self.max_tokens, positions(model, tokenizer) or self.max_tokens)
        if self.form != "causal":
            return replace(self, max_tokens=limit)
        windows = in_windows(tokenizer, self.examples, limit)
        return replace(self, examples=windows, max_tokens=limit)
