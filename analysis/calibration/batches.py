"""Calibration texts as batches that a model of any family runs on, padding told apart."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.errors import RequestError
from analysis.models.encoding import (
    IGNORED,
    Batch,
    causal_batch,
    classification_batch,
    padding_id,
    positions,
    set_languages,
    text_to_text_batch,
)

Example = dict[str, Any]

BATCH_TOKENS = 512  # enough for all cores, and few enough to keep activations small


def calibration_batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    form: str,
    examples: Sequence[Example],
    max_tokens: int,
) -> list[Batch]:
    """Batches of about BATCH_TOKENS tokens, examples of about the same length together.

    Longer texts are cut at `max_tokens`, or at what the model reads at most. Examples are those of
    training (see `analysis.models.training.fine_tune`). An encoder-decoder model also gets its
    decoder's inputs: the target shifted by one, as in training, or where there is none the text
    itself, as its classifiers do. Raises RequestError if there are no examples.
    """
    if not examples:
        raise RequestError("no calibration texts; give a task, or a file with a text in each line")
    max_tokens = min(max_tokens, positions(model, tokenizer) or max_tokens)
    ordered = sorted(examples, key=lambda e: -sum(len(v) for v in e.values() if isinstance(v, str)))
    longest = _encoded(tokenizer, form, ordered[:1], max_tokens)["input_ids"].shape[1]
    rows = max(1, BATCH_TOKENS // max(1, longest))
    batches = []
    for start in range(0, len(ordered), rows):
        batch = _encoded(tokenizer, form, ordered[start : start + rows], max_tokens)
        labels = batch.pop("labels", None)
        if model.config.is_encoder_decoder:
            wanted = _masked(batch) if labels is None else labels
            batch |= _decoder_inputs(model, wanted, padding_id(tokenizer))
        batches.append({name: tensor.to(model.device) for name, tensor in batch.items()})
    return batches


def _encoded(
    tokenizer: PreTrainedTokenizerBase, form: str, chosen: Sequence[Example], max_tokens: int
) -> Batch:
    if form == "classification":
        second = [e["second"] for e in chosen] if "second" in chosen[0] else None
        return classification_batch(tokenizer, [e["first"] for e in chosen], second, max_tokens)
    if form == "masked":  # nothing hidden: what goes into the layers is to be as it is in use
        return classification_batch(tokenizer, [e["text"] for e in chosen], None, max_tokens)
    if form in ("causal", "cloze"):
        return causal_batch(tokenizer, [e["text"] for e in chosen], max_tokens)
    set_languages(tokenizer, chosen[0].get("languages"))
    sources, targets = [e["source"] for e in chosen], [e["target"] for e in chosen]
    return text_to_text_batch(tokenizer, sources, targets, max_tokens)


def _masked(batch: Batch) -> torch.Tensor:
    return batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)


def _decoder_inputs(model: PreTrainedModel, wanted: torch.Tensor, padding: int) -> Batch:
    """Each token is foreseen from those before: the start token, then all but a text's last.

    So a text goes in as it would alone. What is shifted for training lets the last token, the end,
    in for texts that are padded.
    """
    start = getattr(model.config, "decoder_start_token_id", None)  # T5's may lack it
    real = wanted != IGNORED
    ids = torch.roll(wanted, 1, dims=1)
    ids[:, 0] = padding if start is None else start
    return {
        "decoder_input_ids": ids.masked_fill(~real, padding),
        "decoder_attention_mask": real.long(),
    }
