"""One training loop for every model, objective and task."""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.engine.progress import track
from analysis.errors import RequestError, RunError, unknown
from analysis.models.encoding import IGNORED, Batch, fit, require_embedded, set_padding
from analysis.models.heads import as_outputs
from analysis.training.batches import Example, by_form, shuffled_batches
from analysis.training.course import Course, Updates
from analysis.training.dropout import OwnDraws

_SHOWN = 30  # characters before and behind of what is wrong in a text
_CLIP = 1.0
_WARM_UP = 0.1  # the share of the steps in which the learning rate grows to its full value


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    steps: int,
    how: Updates,
    after_step: Callable[[], None] | None = None,
) -> list[float]:
    """Train in place by AdamW with a cosine schedule; returns the loss of every step.

    `after_step` runs after each update: a pruned model puts its zeros back there. With
    `how.rows_at_once`, a batch of more texts is gone through in parts, whose gradients add up to
    those of the whole; dropout is then drawn text by text, so that no number of parts changes more
    than the last bits.
    """
    device, autocast = next(model.parameters()).device, how.autocast
    draws = None if how.rows_at_once is None else torch.Generator().manual_seed(_seeds(1)[0])
    optimizer = torch.optim.AdamW(
        _groups(model, how.weight_decay), lr=how.learning_rate, betas=(0.9, 0.98), fused=True
    )
    factor = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(steps))
    losses: list[float] = []
    model.train()
    for _, batch in track(zip(range(steps), batches, strict=False), how.what, steps):
        optimizer.zero_grad(set_to_none=True)
        whole = 0.0
        seeds = None if draws is None else _seeds(len(batch["labels"]), draws)
        for share, rows in _parts(batch["labels"], how.rows_at_once):
            part = {name: tensor[rows].to(device) for name, tensor in batch.items()}
            with (
                _drawn_by(seeds, rows, device),
                torch.autocast(device.type, dtype=autocast, enabled=autocast is not None),
            ):
                loss = share * model(**part).loss
            loss.backward()
            whole += loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()
        factor.step()
        if after_step:
            after_step()
        losses.append(whole)
    model.eval()
    if not losses or not math.isfinite(losses[-1]):
        raise RunError(f"{how.what} diverged or had no batches: lower the learning rate.")
    return losses


def _parts(labels: Tensor, rows_at_once: int | None) -> Iterator[tuple[float, slice]]:
    """The rows of a batch in parts of so many, each with its share of the labels.

    Losses are means over labels, so a part counts by how many it has, and one that has none is left
    out.
    """
    counts = (labels != IGNORED).reshape(len(labels), -1).sum(1)
    whole, size = int(counts.sum()), rows_at_once or len(labels)
    for start in range(0, len(labels), size):
        rows = slice(start, start + size)
        if own := int(counts[rows].sum()):
            yield own / whole, rows


def _drawn_by(
    seeds: list[int] | None, rows: slice, device: torch.device
) -> contextlib.AbstractContextManager[object]:
    """Within it, dropout of these rows of a batch is drawn with their own seeds, if there are any,
    and what is drawn for no row (layers to drop) as for every other part of it."""
    if seeds is None:
        return contextlib.nullcontext()
    torch.manual_seed(sum(seeds))
    return OwnDraws(seeds[rows], device)


def _seeds(count: int, draws: torch.Generator | None = None) -> list[int]:
    found: list[int] = torch.randint(1 << 31, (count,), generator=draws).tolist()
    return found


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    course: Course,
    *,
    steps: int | None = None,
    after_step: Callable[[], None] | None = None,
) -> list[float]:
    """Train the model in place on one task; the loss of every step.

    By default for as many steps as the course's epochs come to, those of an epoch not rounded.
    """
    forms = by_form(course.seed)
    if course.form not in forms:
        raise RequestError(unknown("form of task", course.form, forms))
    if not course.examples:
        raise RequestError("fine-tuning takes examples.")
    reader = getattr(model, "student", model)  # of a distillation the one that is trained
    fit(tokenizer, reader)
    course = course.read_by(reader, tokenizer)
    examples = course.examples
    if course.form == "classification":
        _require_one_end(reader, tokenizer, examples)
        examples = as_outputs(model.config, examples)
    if steps is None:
        steps = max(1, round(course.epochs * len(examples) / course.batch_size))
    set_padding(model, tokenizer)

    def make(chosen: list[Example]) -> Batch:
        batch = forms[course.form](tokenizer, chosen, course.max_tokens)
        require_embedded(reader, tokenizer, int(batch["input_ids"].max()))
        return batch

    batches = shuffled_batches(examples, course.batch_size, make, seed=course.seed)
    with torch.random.fork_rng():  # dropout draws from here, and leaves the caller's stream alone
        torch.manual_seed(course.seed)
        return train(model, batches, steps=steps, how=course, after_step=after_step)


def _require_one_end(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> None:
    """Raise RequestError for a text with an end of text in it, where the model reads its answer at
    the end: BART's and T5's classifiers want as many in each row of a batch."""
    end = tokenizer.eos_token
    if end is None or "eos_mask" not in inspect.getsource(type(model).forward):
        return
    for example in examples:
        for text in (str(example.get(key, "")) for key in ("first", "second")):
            if end in text:
                start = max(0, text.index(end) - _SHOWN)
                raise RequestError(
                    f"a training text has {end!r} in it, which is the end of a text to the model's"
                    f" tokenizer; look for {text[start : start + 2 * _SHOWN]!r} in the training"
                    " data, and write it otherwise, or leave that line out"
                )


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and the scales of norms do not."""
    weights = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _cosine(steps: int) -> Callable[[int], float]:
    rising = max(1, round(steps * _WARM_UP))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor
