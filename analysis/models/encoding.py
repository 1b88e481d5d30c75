"""Batches of token ids for the three forms of task, the same for training and for evaluation.

Every batch is padded on the right and holds `input_ids` and `attention_mask`, int64 [rows, tokens],
and `token_type_ids` where the tokenizer's model takes them. `labels` are token ids too, with
IGNORED wherever nothing is to be predicted.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

Batch = dict[str, Tensor]

IGNORED = -100  # the label that the losses of torch and transformers leave out


def padding_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token to pad with: GPT-2 has none of its own and is padded with the end of text."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    return next((token for token in known if token is not None), 0)


def set_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Tell the model how its batches are padded: GPT-2's classifier looks for the last token."""
    model.config.pad_token_id = padding_id(tokenizer)


def classification_batch(
    tokenizer: PreTrainedTokenizerBase,
    first: list[str],
    second: list[str] | None,
    max_tokens: int,
) -> Batch:
    """Sentences, or pairs of sentences, to be classified; longer ones are cut."""
    if second is not None and not tokenizer.num_special_tokens_to_add(pair=True):
        # GPT-2 would run the two together: "… the end.The beginning …".
        first = [f"{one}\n{other}" for one, other in zip(first, second, strict=True)]
        second = None
    encoded = tokenizer(first, second, truncation=True, max_length=max_tokens)
    batch = _padded(encoded["input_ids"], padding_id(tokenizer))
    if "token_type_ids" in encoded and "token_type_ids" in tokenizer.model_input_names:
        batch["token_type_ids"] = _rectangle(encoded["token_type_ids"], 0)
    return batch


def causal_batch(tokenizer: PreTrainedTokenizerBase, texts: list[str], max_tokens: int) -> Batch:
    """Texts from beginning-of-text to end-of-text; each token is to be predicted from those before.

    The beginning predicts the first word. A text too long for `max_tokens` is cut and has no end.
    """
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end
    bodies = tokenizer(texts, add_special_tokens=False)["input_ids"]
    batch = _padded([[begin, *body, end][:max_tokens] for body in bodies], padding_id(tokenizer))
    return batch | {"labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)}


def text_to_text_batch(
    tokenizer: PreTrainedTokenizerBase,
    sources: list[str],
    targets: list[str] | None,
    max_tokens: int,
) -> Batch:
    """Sources and, for training, the targets to be written from them as `labels`."""
    encoded = tokenizer(sources, truncation=True, max_length=max_tokens)
    batch = _padded(encoded["input_ids"], padding_id(tokenizer))
    if targets is not None:
        wanted = tokenizer(text_target=targets, truncation=True, max_length=max_tokens)
        batch["labels"] = _rectangle(wanted["input_ids"], IGNORED)
    return batch


def masked_batch(
    tokenizer: PreTrainedTokenizerBase,
    first: list[str],
    second: list[str],
    max_tokens: int,
    *,
    share: float,
    generator: torch.Generator,
) -> Batch:
    """Pairs with a share of their tokens to be guessed, as BERT is pretrained.

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


def _padded(rows: list[list[int]], padding: int) -> Batch:
    mask = _rectangle([[1] * len(row) for row in rows], 0)
    return {"input_ids": _rectangle(rows, padding), "attention_mask": mask}


def _rectangle(rows: list[list[int]], filler: int) -> Tensor:
    width = max((len(row) for row in rows), default=0)
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows], dtype=torch.long)
