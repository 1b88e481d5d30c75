"""Rows of token ids for the forms of task, the same for training and for evaluation, and batches.

A row is what a model reads of one example: `input_ids`, and other lists as long. Every batch is
padded on the right and holds `input_ids` and `attention_mask`, int64 [rows, tokens], and
`token_type_ids` where the tokenizer's model takes them. `labels` are token ids too, with IGNORED
wherever nothing is to be predicted.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.errors import RequestError
from analysis.models.languages import tagged

Row = dict[str, list[int]]
Batch = dict[str, Tensor]

# XLNet's are -1: as many as are given; LED reads more than it writes
_POSITIONS = ("max_position_embeddings", "max_seq_len", "max_encoder_position_embeddings")
_NO_LIMIT = 1 << 30  # tokenizers that know no limit have a far larger number
_TYPES = "token_type_ids"
IGNORED = -100  # the label that the losses of torch and transformers leave out


def padding_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token to pad with: GPT-2 has none of its own and is padded with the end of text."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    return next((token for token in known if token is not None), 0)


def fit(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Have the tokenizer make no types of tokens for a model that takes none: BERT's own, which
    DistilBERT and others came with, knows them."""
    if _TYPES not in inspect.signature(model.forward).parameters:
        names = tokenizer.model_input_names
        tokenizer.model_input_names = [name for name in names if name != _TYPES]


def vocabulary(model: Any) -> int:
    """How many tokens the model knows."""
    return int(model.get_input_embeddings().weight.shape[0])


def require_embedded(model: Any, tokenizer: Any, token: int) -> None:
    """Raise RequestError if the model has no embedding for a token that the tokenizer made."""
    if token >= (known := vocabulary(model)):
        raise RequestError(
            f"the tokenizer makes the token {tokenizer.convert_ids_to_tokens(token)!r}, number"
            f" {token}, and the model knows {known:,}, numbered from 0; give the tokenizer that it"
            " was trained with"
        )


def set_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Tell the model how its batches are padded: GPT-2's classifier looks for the last token."""
    for config in padding_configs(model):
        config.pad_token_id = padding_id(tokenizer)


def padding_configs(model: PreTrainedModel) -> list[Any]:
    """Where a classifier may look for its padding: the config, and that of the text within it."""
    within = getattr(model.config, "text_config", None)
    return [model.config] if within is None else [model.config, within]


def positions(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None
) -> int | None:
    """How many tokens the model reads at most; None if neither it nor its tokenizer has a limit."""
    told = tokenizer.model_max_length if tokenizer is not None else _NO_LIMIT
    limits = [told] if told < _NO_LIMIT else []
    for config in padding_configs(model):
        known = [getattr(config, name, None) for name in _POSITIONS]
        limits += [n - _positions_not_counted(model) for n in known if isinstance(n, int) and n > 0]
    return min(limits, default=None)


def _positions_not_counted(model: PreTrainedModel) -> int:
    """RoBERTa counts positions from behind its padding's, BERT from 0."""
    for name, module in model.named_modules():
        if name.endswith("embeddings.position_embeddings"):
            padding = getattr(module, "padding_idx", None)
            return 0 if padding is None else int(padding) + 1
    return 0


def padded(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], filled_with: int | None = None
) -> Batch:
    """The rows as one batch, as wide as the longest, filled with that token or the tokenizer's."""
    fill = padding_id(tokenizer) if filled_with is None else filled_with
    filler = {"input_ids": fill, "labels": IGNORED}
    batch = {name: _rectangle([row[name] for row in rows], filler.get(name, 0)) for name in rows[0]}
    batch["attention_mask"] = _rectangle([[1] * len(row["input_ids"]) for row in rows], 0)
    return batch


def classification_batch(
    tokenizer: PreTrainedTokenizerBase,
    first: list[str],
    second: list[str] | None,
    max_tokens: int,
) -> Batch:
    """Sentences, or pairs of sentences, to be classified; longer ones are cut."""
    return padded(tokenizer, classification_rows(tokenizer, first, second, max_tokens))


def classification_rows(
    tokenizer: PreTrainedTokenizerBase,
    first: list[str],
    second: list[str] | None,
    max_tokens: int,
) -> list[Row]:
    """The rows of `classification_batch`."""
    if second is not None and not tokenizer.num_special_tokens_to_add(pair=True):
        # GPT-2 would run the two together: "… the end.The beginning …".
        first = [f"{one}\n{other}" for one, other in zip(first, second, strict=True)]
        second = None
    encoded = tokenizer(first, second, truncation=True, max_length=max_tokens)
    names = ["input_ids"]
    if _TYPES in encoded and _TYPES in tokenizer.model_input_names:
        names.append(_TYPES)
    # GPT-2 makes no token at all of an empty text
    blank = {"input_ids": [padding_id(tokenizer)], _TYPES: [0]}
    return [{name: encoded[name][i] or blank[name] for name in names} for i in range(len(first))]


def framed(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """The token ids of each text, from beginning-of-text to end-of-text."""
    begin, end = ends_of_text(tokenizer)
    bodies = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return [[*begin, *body, *end] for body in bodies]


def ends_of_text(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The token that a causal model's text begins with, and that it ends with; none where the
    tokenizer has no such token."""
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id)
    begin, end = (
        next(([token] for token in ids if token is not None), []) for ids in (known, known[1:])
    )
    return begin, end


def causal_rows(tokenizer: PreTrainedTokenizerBase, rows: list[list[int]]) -> Batch:
    """Rows of tokens as one batch, each to be predicted from those before it, so not the first."""
    return padded(tokenizer, [{"input_ids": r, "labels": [IGNORED, *r[1:]]} for r in rows])


def text_to_text_batch(
    tokenizer: PreTrainedTokenizerBase,
    sources: list[str],
    targets: list[str] | None,
    max_tokens: int,
) -> Batch:
    """Sources and, for training, the targets to be written from them as `labels`."""
    encoded = tokenizer(tagged(tokenizer, sources), truncation=True, max_length=max_tokens)
    batch = padded(tokenizer, [{"input_ids": ids} for ids in encoded["input_ids"]])
    if targets is not None:
        if getattr(tokenizer, "tgt_lang", "") is None:  # M2M100's fails where none is set
            tokenizer.tgt_lang = tokenizer.src_lang
        wanted = tokenizer(text_target=targets, truncation=True, max_length=max_tokens)
        batch["labels"] = _rectangle(wanted["input_ids"], IGNORED)
    return batch


def masked_batch(
    tokenizer: PreTrainedTokenizerBase,
    first: list[str],
    second: list[str] | None,
    max_tokens: int,
    *,
    share: float,
    generator: torch.Generator,
) -> Batch:
    """Sentences, or pairs, with a share of their tokens to be guessed, as BERT is pretrained.

    Of these 80 % are hidden by the mask token, 10 % replaced by another token, 10 % left.
    """
    batch = classification_batch(tokenizer, first, second, max_tokens)
    ids = batch["input_ids"]
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    chosen = (torch.rand(ids.shape, generator=generator) < share) & ~special
    fate = torch.rand(ids.shape, generator=generator)
    others = torch.randint(len(tokenizer), ids.shape, generator=generator)
    batch["labels"] = ids.masked_fill(~chosen, IGNORED)
    hidden = ids.masked_fill(chosen & (fate < 0.8), tokenizer.mask_token_id)
    batch["input_ids"] = torch.where(chosen & (fate >= 0.9), others, hidden)
    return batch


def _rectangle(rows: list[list[int]], filler: int) -> Tensor:
    width = max((len(row) for row in rows), default=0)
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows], dtype=torch.long)
