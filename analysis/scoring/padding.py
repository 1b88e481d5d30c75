"""What rows of several lengths are filled with, and which of them can share a batch.

Whatever a model does with the end of a row, its answer is to be the one that it gives to that row
alone.
"""

import inspect
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.errors import RequestError
from analysis.models.encoding import (
    Batch,
    Row,
    padded,
    padding_configs,
    padding_id,
    require_embedded,
    vocabulary,
)
from analysis.scoring.form import asking

_TYPES = "token_type_ids"
# of the largest number that comes out: what rounding in other kernels may change
_TOLERANCE, _TOLERANCE_OF_HALF = 1e-3, 3e-2


def filler(model: Any, tokenizer: Any, form: str, rows: Sequence[Row]) -> int:
    """The token that rows are filled with.

    A classifier may look for the last token that is no filling, by an id in its config. If it
    knows one, that is taken: it passes over these tokens in a row alone too. Else it is told one
    here that ends no row. One that looks for the end of the text and is told to fill with ends
    gets rows of one length (see `kinds`).
    """
    known, own = vocabulary(model), padding_id(tokenizer)
    if form != "classification":
        return own if own < known else 0
    configs, ends = padding_configs(model), _ends(model)
    told = getattr(configs[-1], "pad_token_id", None)
    if isinstance(told, int) and 0 <= told < known:
        return told
    taken = ends | {row["input_ids"][-1] for row in rows}
    free = (token for token in (own, *range(known)) if token < known and token not in taken)
    chosen = next(free, 0)
    for config in configs:
        config.pad_token_id = chosen
    return chosen


def kinds(
    model: Any,
    tokenizer: Any,
    form: str,
    rows: Sequence[Row],
    lengths: Sequence[int],
    filled_with: int,
) -> Sequence[Hashable]:
    """For each row what the rows of a batch have in common: often nothing, 0 for each.

    Their length, where the model's answer changes with the padding behind a row: FNet, Funnel and
    ConvBERT mix it in, XLNet's classifier takes the last place. How many ends of text they have,
    for the classifiers that look for them, BART's and T5's. Raises RequestError for a row that has
    none.
    """
    ends = [0] * len(rows)
    if form == "classification" and "eos_mask" in inspect.getsource(type(model).forward):
        ends = [sum(token in _ends(model) for token in row["input_ids"]) for row in rows]
        if 0 in ends:
            text = tokenizer.decode(rows[ends.index(0)]["input_ids"][:20])
            raise RequestError(
                f"{type(model).__name__} reads its answer at the end of a text, and the tokenizer"
                f" {type(tokenizer).__name__} marks none in {text!r}; give the tokenizer that the"
                " model was trained with"
            )
    if form in ("causal", "cloze"):  # nobody looks ahead
        return ends
    filled_with_ends = form == "classification" and filled_with in _ends(model)
    if not filled_with_ends and not _sees_padding(model, tokenizer, rows, lengths, filled_with):
        return ends
    return list(zip(lengths, ends, strict=True))


def _ends(model: Any) -> set[int]:
    """The ends of text that an encoder-decoder model's config names."""
    found = model.config.eos_token_id if model.config.is_encoder_decoder else None
    return set(found) if isinstance(found, list) else set() if found is None else {found}


def _sees_padding(
    model: Any, tokenizer: Any, rows: Sequence[Row], lengths: Sequence[int], filled_with: int
) -> bool:
    """Whether a short row is answered otherwise with padding behind it.

    A model in eight bits, whose tokens have scales of their own, is not asked: see `in_codes`.
    """
    order = sorted(range(len(rows)), key=lambda i: lengths[i])
    short = order[len(order) // 4]
    row, more = rows[short], min(max(lengths) - lengths[short], 8 + lengths[short])
    if not more or in_codes(model):
        return False
    batch = padded(tokenizer, [row], filled_with)
    behind = {"input_ids": filled_with}
    longer = {
        name: torch.nn.functional.pad(tensor, (0, more), value=behind.get(name, 0))
        for name, tensor in batch.items()
    }
    alone, filled = logits(model, batch), logits(model, longer)
    if filled.ndim == 3:
        filled = filled[:, : alone.shape[1]]
    return not bool((filled - alone).abs().max() <= tolerance(model) * alone.abs().max())


def tolerance(model: Any) -> float:
    """Of its largest number, how much may change by rounding."""
    return _TOLERANCE if model.dtype in (torch.float32, torch.float64) else _TOLERANCE_OF_HALF


def in_codes(model: Any) -> bool:
    """Whether it computes in eight bits: there the last bit of a sum, which any other shape of a
    batch may change, can turn into another code, and no tolerance tells that from a fault."""
    return any("quantized" in type(part).__module__ for part in model.modules())


def logits(model: Any, batch: Batch) -> Tensor:
    """In float32: [1, classes], or [1, tokens, vocabulary]; of a text the first token's."""
    given = {name: tensor.to(model.device) for name, tensor in batch.items() if name != "labels"}
    if model.config.is_encoder_decoder and "Classification" not in type(model).__name__:
        given["decoder_input_ids"] = torch.zeros_like(given["input_ids"][:, :1])
    with asking(model), torch.inference_mode():
        found: Tensor = model(**taken_by(model, given)).logits
    return found.float()


def taken_by(model: Any, batch: Batch) -> Batch:
    """The batch without what the model does not take: not every tokenizer knows its model."""
    known = inspect.signature(model.forward).parameters
    return {name: tensor for name, tensor in batch.items() if name != _TYPES or name in known}


def require_known(model: Any, tokenizer: Any, rows: Sequence[Row]) -> None:
    """Raise RequestError if the tokenizer makes a token that the model has no embedding for."""
    for row in rows:
        require_embedded(model, tokenizer, max(row["input_ids"], default=0))
