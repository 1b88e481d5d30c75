"""Pretraining objectives of the three families, over given texts.

A text is a string, or a pair of strings that belong together: an encoder reads the two as a pair,
the others read them one after the other. Texts that are too long are read in pieces, pairs are cut.
Each objective returns how many examples it makes of the texts, and batches of them for ever.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from transformers import PreTrainedTokenizerBase

from analysis.models.encoding import Batch, masked_batch, text_to_text_batch
from analysis.training.batches import Example, causal_batch_of, in_windows, shuffled_batches

Text = str | tuple[str, str]
Objective = Callable[
    [PreTrainedTokenizerBase, Sequence[Text], int, int, int], tuple[int, Iterator[Batch]]
]

_AT_ONCE = 1_000  # texts tokenized in one call
_MASKED = 0.2  # the share of tokens that BERT is to guess


def masked_words(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    batch_size: int,
    max_tokens: int,
    seed: int,
) -> tuple[int, Iterator[Batch]]:
    """A share of the tokens is to be guessed (BERT, section 3.1).

    Single texts and pairs come in batches of their own.
    """
    generator = torch.Generator().manual_seed(seed)

    def make(chosen: list[Example]) -> Batch:
        first = [example["first"] for example in chosen]
        second = [example["second"] for example in chosen] if "second" in chosen[0] else None
        return masked_batch(
            tokenizer, first, second, max_tokens, share=_MASKED, generator=generator
        )

    pairs = [{"first": text[0], "second": text[1]} for text in texts if not isinstance(text, str)]
    whole = pieces(tokenizer, [text for text in texts if isinstance(text, str)], max_tokens)
    singles = [{"first": piece} for piece in whole]
    parts = [part for part in (singles, pairs) if part]
    streams = [shuffled_batches(part, batch_size, make, seed=seed) for part in parts]
    return len(singles) + len(pairs), _in_proportion(streams, [len(part) for part in parts], seed)


def next_word(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    batch_size: int,
    max_tokens: int,
    seed: int,
) -> tuple[int, Iterator[Batch]]:
    """Each token is to be predicted from those before it; long texts are read in windows."""

    def make(chosen: list[Example]) -> Batch:
        return causal_batch_of(tokenizer, chosen, max_tokens)

    whole = [{"text": _joined(text)} for text in texts]
    windows = in_windows(tokenizer, whole, max_tokens)
    return len(windows), shuffled_batches(windows, batch_size, make, seed=seed)


def denoising(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    batch_size: int,
    max_tokens: int,
    seed: int,
) -> tuple[int, Iterator[Batch]]:
    """The text is to be written from one with gaps (BART, section 2.2)."""
    rng = random.Random(seed)

    def make(chosen: list[Example]) -> Batch:
        targets = [example["text"] for example in chosen]
        noisy = [with_gaps(text, str(tokenizer.mask_token), rng) for text in targets]
        return text_to_text_batch(tokenizer, noisy, targets, max_tokens)

    whole = pieces(tokenizer, [_joined(text) for text in texts], max_tokens)
    examples = [{"text": piece} for piece in whole]
    return len(examples), shuffled_batches(examples, batch_size, make, seed=seed)


OBJECTIVES: dict[str, Objective] = {
    "encoder-only": masked_words,
    "decoder-only": next_word,
    "encoder-decoder": denoising,
}


def with_gaps(text: str, mask: str, rng: random.Random) -> str:
    """The text with about a third of its words in gaps of one to three, a mask for each gap."""
    kept: list[str] = []
    gap = 0
    for word in text.split():
        if not gap and rng.random() < 0.2:
            gap = 1 + int(rng.random() * 3)
            kept.append(mask)
        if gap:
            gap -= 1
        else:
            kept.append(word)
    return " ".join(kept)


def pieces(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> list[str]:
    """The texts; of one that has more than `max_tokens` tokens, its paragraphs and parts of them.

    Room is left for the tokens that the tokenizer puts around a text. Empty ones are left out.
    """
    room = max(1, max_tokens - tokenizer.num_special_tokens_to_add())
    found: list[str] = []
    for text, spans in zip(texts, _spans(tokenizer, texts), strict=True):
        if len(spans) <= room:
            found.append(text)
            continue
        paragraphs = text.split("\n")
        for part, own in zip(paragraphs, _spans(tokenizer, paragraphs), strict=True):
            starts = [start for start, _ in own[::room]]
            found += [part[start:end] for start, end in pairwise([*starts, len(part)])]
    return [piece for piece in found if piece.strip()]


def _spans(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> Iterator[list[tuple[int, int]]]:
    """For each text, from where to where in it each of its tokens goes."""
    for start in range(0, len(texts), _AT_ONCE):
        chosen = list(texts[start : start + _AT_ONCE])
        yield from tokenizer(
            chosen, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )["offset_mapping"]


def _joined(text: Text) -> str:
    return text if isinstance(text, str) else " ".join(text)


def _in_proportion(
    streams: Sequence[Iterator[Batch]], weights: Sequence[int], seed: int
) -> Iterator[Batch]:
    """Batches of several streams, each as often as its weight says, in an order drawn here."""
    rng = random.Random(seed)
    while True:
        yield next(rng.choices(streams, weights)[0])
