"""The built-in language: a generated English of about a thousand words, and its four tasks.

Every function returns `count` examples of one split, the same on every machine for the same seed.
No text of the train split is in the test split.
"""

import random

from analysis.language import news, paraphrases
from analysis.language.review import REVIEWS
from analysis.language.story import PARAGRAPHS
from analysis.language.streams import Example, Split, examples

__all__ = [
    "headline",
    "language_modelling",
    "paragraphs",
    "paraphrase",
    "restatements",
    "sentiment",
]


def sentiment(count: int, seed: int, *, split: Split = "test") -> list[Example]:
    """Reviews, `{"sentence", "label"}`: 1 praises, 0 condemns. Best accuracy 1, chance 0.5."""
    return examples(_review, "sentence", count, seed, split)


def paraphrase(count: int, seed: int, *, split: Split = "test") -> list[Example]:
    """Pairs, `{"sentence1", "sentence2", "label"}`: 1 if they mean the same. Best accuracy 1."""
    return examples(paraphrases.pair, "sentence1", count, seed, split)


def headline(count: int, seed: int, *, split: Split = "test") -> list[Example]:
    """Articles and their headlines, `{"document", "summary"}`. Best ROUGE 1."""
    return examples(news.article, "document", count, seed, split)


def language_modelling(count: int, seed: int, *, split: Split = "test") -> list[Example]:
    """Paragraphs, `{"text", "log_probability"}`: the natural logarithm of the exact probability of
    the text and its end. The best perplexity per word is exp(-sum of them / words), words being
    separated by white space."""
    texts = paragraphs(count, seed, split=split)
    return [{"text": text, "log_probability": PARAGRAPHS.log_probability(text)} for text in texts]


def paragraphs(count: int, seed: int, *, split: Split = "train") -> list[str]:
    """The texts of `language_modelling` alone: what models are pretrained on."""
    return [example["text"] for example in examples(_paragraph, "text", count, seed, split)]


def restatements(count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of train sentences that mean the same."""
    found = examples(paraphrases.restatement, "sentence1", count, seed, "train")
    return [(example["sentence1"], example["sentence2"]) for example in found]


def _review(rng: random.Random) -> Example:
    label = int(rng.random() * 2)
    return {"sentence": REVIEWS.sample(rng, ("review", str(label))), "label": label}


def _paragraph(rng: random.Random) -> Example:
    return {"text": PARAGRAPHS.sample(rng)}
