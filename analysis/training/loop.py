"""One training loop for every model, objective and task."""

import contextlib
import functools
import inspect
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.engine.progress import track
from analysis.errors import RequestError, RunError, unknown
from analysis.models.encoding import (
    IGNORED,
    Batch,
    causal_rows,
    classification_batch,
    ends_of_text,
    fit,
    framed,
    masked_batch,
    positions,
    require_embedded,
    set_padding,
    text_to_text_batch,
)
from analysis.models.heads import as_outputs
from analysis.models.languages import set_languages
from analysis.training.dropout import OwnDraws

Example = dict[str, Any]
MakeBatch = Callable[[list[Example]], Batch]

_POOL = 16  # batches sorted by length together, so that little is padded
_SHOWN = 30  # characters before and behind of what is wrong in a text
_CLIP = 1.0
_HIDDEN = 0.15  # of the words of a masked text (BERT, section 3.1)


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    warm_up: float = 0.1,
    what: str = "training",
    after_step: Callable[[], None] | None = None,
    autocast: torch.dtype | None = None,
    rows_at_once: int | None = None,
) -> list[float]:
    """Train in place by AdamW with a cosine schedule; returns the loss of every step.

    `warm_up` is the share of the steps in which the learning rate grows to its full value.
    `after_step` runs after each update: a pruned model puts its zeros back there. `autocast` is
    the type to multiply matrices in, where it is not the weights' own. With `rows_at_once`, a batch
    of more texts is gone through in parts, whose gradients add up to those of the whole; dropout is
    then drawn text by text, so that no number of parts changes more than the last bits.
    """
    device = next(model.parameters()).device
    draws = None if rows_at_once is None else torch.Generator().manual_seed(_seeds(1)[0])
    optimizer = torch.optim.AdamW(
        _groups(model, weight_decay), lr=learning_rate, betas=(0.9, 0.98), fused=True
    )
    factor = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(steps, warm_up))
    losses: list[float] = []
    model.train()
    for _, batch in track(zip(range(steps), batches, strict=False), what, steps):
        optimizer.zero_grad(set_to_none=True)
        whole = 0.0
        seeds = None if draws is None else _seeds(len(batch["labels"]), draws)
        for share, rows in _parts(batch["labels"], rows_at_once):
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
        raise RunError(f"{what} diverged or had no batches: lower the learning rate.")
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
    form: str,
    examples: Sequence[Example],
    *,
    batch_size: int,
    learning_rate: float,
    seed: int,
    steps: int | None = None,
    epochs: float | None = None,
    max_tokens: int = 128,
    weight_decay: float = 0.01,
    what: str = "fine-tuning",
    after_step: Callable[[], None] | None = None,
    autocast: torch.dtype | None = None,
    rows_at_once: int | None = None,
) -> list[float]:
    """Train the model in place on one task, for so many steps or epochs; the loss of every step.

    Examples hold, by form: classification `first`, `label` and, for pairs, `second` (and where they
    have a `label_word`, the label is the output of the head that is called so); causal and
    masked `text`; text-to-text `source` and `target`. Causal texts are read whole, in windows of
    `max_tokens`, or of what the model reads at most; others are cut there. `autocast` and
    `rows_at_once` are as for `train`.
    """
    hidden = torch.Generator().manual_seed(seed)  # which words are hidden, of the form that does
    forms = _FORMS | {"masked": functools.partial(_masked, generator=hidden)}
    if form not in forms:
        raise RequestError(unknown("form of task", form, forms))
    if not examples or (steps is None) == (epochs is None):
        raise RequestError("fine-tuning takes examples, and either steps or epochs.")
    reader = getattr(model, "student", model)  # of a distillation the one that is trained
    fit(tokenizer, reader)
    max_tokens = min(max_tokens, positions(model, tokenizer) or max_tokens)
    if form == "causal":
        examples = in_windows(tokenizer, examples, max_tokens)
    if form == "classification":
        _require_one_end(reader, tokenizer, examples)
        examples = as_outputs(model.config, examples)
    if steps is None:
        steps = max(1, round((epochs or 0) * len(examples) / batch_size))
    set_padding(model, tokenizer)

    def make(chosen: list[Example]) -> Batch:
        batch = forms[form](tokenizer, chosen, max_tokens)
        require_embedded(reader, tokenizer, int(batch["input_ids"].max()))
        return batch

    with torch.random.fork_rng():  # dropout draws from here, and leaves the caller's stream alone
        torch.manual_seed(seed)
        return train(
            model,
            shuffled_batches(examples, batch_size, make, seed=seed),
            steps=steps,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            what=what,
            after_step=after_step,
            autocast=autocast,
            rows_at_once=rows_at_once,
        )


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


_FORMS: dict[str, Callable[[PreTrainedTokenizerBase, list[Example], int], Batch]] = {
    "classification": _classification,
    "causal": causal_batch_of,
    "text-to-text": _text_to_text,
}


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and the scales of norms do not."""
    weights = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _cosine(steps: int, warm_up: float) -> Callable[[int], float]:
    rising = max(1, round(steps * warm_up))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor
