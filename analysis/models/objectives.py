"""What the built-in models learn from: pretraining objectives and the tasks' training examples."""

import random
from collections.abc import Callable, Iterator

import torch
from transformers import PreTrainedTokenizerBase

from analysis import language
from analysis.models.catalogue import MAX_TOKENS
from analysis.models.encoding import Batch, causal_batch, masked_batch, text_to_text_batch
from analysis.models.training import Example, shuffled_batches

_MASKED = 0.2  # the share of tokens that BERT is to guess


def _masked_words(
    tokenizer: PreTrainedTokenizerBase, count: int, batch_size: int, seed: int
) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(seed)

    def make(chosen: list[Example]) -> Batch:
        first, second = [e["first"] for e in chosen], [e["second"] for e in chosen]
        return masked_batch(
            tokenizer, first, second, MAX_TOKENS, share=_MASKED, generator=generator
        )

    pairs = [
        {"first": first, "second": second} for first, second in language.restatements(count, seed)
    ]
    return shuffled_batches(pairs, batch_size, make, seed=seed)


def _next_word(
    tokenizer: PreTrainedTokenizerBase, count: int, batch_size: int, seed: int
) -> Iterator[Batch]:
    def make(chosen: list[Example]) -> Batch:
        return causal_batch(tokenizer, [example["text"] for example in chosen], MAX_TOKENS)

    texts = [{"text": text} for text in language.paragraphs(count, seed)]
    return shuffled_batches(texts, batch_size, make, seed=seed)


def _denoising(
    tokenizer: PreTrainedTokenizerBase, count: int, batch_size: int, seed: int
) -> Iterator[Batch]:
    rng = random.Random(seed)

    def make(chosen: list[Example]) -> Batch:
        texts = [example["text"] for example in chosen]
        noisy = [with_gaps(text, str(tokenizer.mask_token), rng) for text in texts]
        return text_to_text_batch(tokenizer, noisy, texts, MAX_TOKENS)

    half = count // 2
    texts = [f"{one} {other}" for one, other in language.restatements(half, seed)]
    texts += [example["document"] for example in language.headline(half, seed, split="train")]
    examples = [{"text": text} for text in texts]
    return shuffled_batches(examples, batch_size, make, seed=seed)


OBJECTIVES: dict[str, Callable[[PreTrainedTokenizerBase, int, int, int], Iterator[Batch]]] = {
    "tiny-bert": _masked_words,
    "tiny-gpt2": _next_word,
    "tiny-bart": _denoising,
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


def _sentiment(count: int, seed: int) -> list[Example]:
    found = language.sentiment(count, seed, split="train")
    return [{"first": example["sentence"], "label": example["label"]} for example in found]


def _paraphrase(count: int, seed: int) -> list[Example]:
    found = language.paraphrase(count, seed, split="train")
    return [{"first": e["sentence1"], "second": e["sentence2"], "label": e["label"]} for e in found]


def _headline(count: int, seed: int) -> list[Example]:
    found = language.headline(count, seed, split="train")
    return [{"source": example["document"], "target": example["summary"]} for example in found]


def _paragraphs(count: int, seed: int) -> list[Example]:
    return [{"text": text} for text in language.paragraphs(count, seed)]


TASKS: dict[str, tuple[str, Callable[[int, int], list[Example]]]] = {
    "sentiment": ("classification", _sentiment),
    "paraphrase": ("classification", _paraphrase),
    "headline": ("text-to-text", _headline),
    "language-modelling": ("causal", _paragraphs),
}
