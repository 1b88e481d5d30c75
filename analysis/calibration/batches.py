"""Calibration texts as batches that a model of any family runs on, padding told apart.

Causal models read full windows: texts joined end to end and cut, as the references of GPTQ,
SparseGPT and Wanda do, so that each position of the model is seen as often as any other and no
heading stands for a text. All other models read text by text, as they do in use.
"""

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.calibration.texts import Example, Texts
from analysis.errors import RequestError
from analysis.models.encoding import (
    IGNORED,
    Batch,
    causal_rows,
    classification_batch,
    ends_of_text,
    fit,
    padding_id,
    positions,
    require_embedded,
    text_to_text_batch,
)
from analysis.models.languages import set_languages

BATCH_TOKENS = 512  # enough for all cores, and few enough to keep activations small
_CHOICE = 4  # windows there are to draw each one from, where there is as much text


def calibration_batches(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Texts
) -> list[Batch]:
    """Batches of about BATCH_TOKENS tokens; texts of about the same length together.

    An encoder-decoder model also gets its decoder's inputs: the target shifted by one, as in
    training, or where there is none the text itself, as its classifiers do. Raises RequestError if
    there are no texts.
    """
    fit(tokenizer, model)
    size = min(texts.tokens, positions(model, tokenizer) or texts.tokens)
    make = _packed if texts.packed else _by_text
    batches = []
    for batch in make(tokenizer, texts, size):
        require_embedded(model, tokenizer, int(batch["input_ids"].max()))
        labels = batch.pop("labels", None)
        if model.config.is_encoder_decoder:
            wanted = _masked(batch) if labels is None else labels
            batch |= _decoder_inputs(model, wanted, padding_id(tokenizer))
        batches.append({name: tensor.to(model.device) for name, tensor in batch.items()})
    return batches


def windows(tokenizer: PreTrainedTokenizerBase, texts: Texts, size: int) -> list[list[int]]:
    """Token ids of windows of `size` tokens, `texts.count` of them, drawn with the seed.

    All where there are no more; one shorter where not even one is full.
    """
    asked = texts.count
    while True:
        examples = texts.examples(asked)
        ids = _joined(tokenizer, [example["text"] for example in _some(examples)])
        full = len(ids) // size
        if full >= _CHOICE * texts.count or len(examples) < asked:
            break
        asked *= 4
    if not full:
        return [ids]
    drawn = random.Random(texts.seed).sample(range(full), min(texts.count, full))
    return [ids[i * size : (i + 1) * size] for i in sorted(drawn)]


def facts(texts: Texts, batches: Sequence[Batch]) -> dict[str, Any]:
    """What is to be said of a calibration: how texts were read, how many, how many real tokens."""
    rows = sum(len(batch["input_ids"]) for batch in batches)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    return {"packed": texts.packed, "windows" if texts.packed else "texts": rows, "tokens": tokens}


def _joined(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[int]:
    """The ids of the texts one after the other, each with the ends that it has in training; one
    token alone stands between two texts where beginning and end are the same."""
    begin, end = ends_of_text(tokenizer)
    ids: list[int] = []
    for body in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]:
        if ids[-1:] != begin:
            ids += begin
        ids += [*body, *end]
    return ids


def _packed(tokenizer: PreTrainedTokenizerBase, texts: Texts, size: int) -> list[Batch]:
    found = windows(tokenizer, texts, size)
    rows = max(1, BATCH_TOKENS // size)
    return [causal_rows(tokenizer, found[i : i + rows]) for i in range(0, len(found), rows)]


def _by_text(tokenizer: PreTrainedTokenizerBase, texts: Texts, size: int) -> list[Batch]:
    examples = _some(texts.examples(texts.count))
    ordered = sorted(examples, key=lambda e: -sum(len(v) for v in e.values() if isinstance(v, str)))
    longest = _encoded(tokenizer, texts.form, ordered[:1], size)["input_ids"].shape[1]
    rows = max(1, BATCH_TOKENS // max(1, longest))
    return [
        _encoded(tokenizer, texts.form, ordered[start : start + rows], size)
        for start in range(0, len(ordered), rows)
    ]


def _some(examples: Sequence[Example]) -> Sequence[Example]:
    if not examples:
        raise RequestError("no calibration texts; give a task, or a file with a text in each line")
    return examples


def _encoded(
    tokenizer: PreTrainedTokenizerBase, form: str, chosen: Sequence[Example], max_tokens: int
) -> Batch:
    if form == "classification":
        second = [e["second"] for e in chosen] if "second" in chosen[0] else None
        return classification_batch(tokenizer, [e["first"] for e in chosen], second, max_tokens)
    if form == "masked":  # nothing hidden: what goes into the layers is to be as it is in use
        return classification_batch(tokenizer, [e["text"] for e in chosen], None, max_tokens)
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
