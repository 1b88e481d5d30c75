"""What the built-in models are pretrained on: texts of the generated language."""

from collections.abc import Callable, Iterator

from transformers import PreTrainedTokenizerBase

from analysis import language
from analysis.models.catalogue import BUILTIN, MAX_TOKENS
from analysis.models.encoding import Batch
from analysis.training.pretraining import OBJECTIVES, Text


def pretraining_batches(
    name: str, tokenizer: PreTrainedTokenizerBase, count: int, batch_size: int, seed: int
) -> Iterator[Batch]:
    """Batches for ever of so many texts of the language, for the built-in model of that name."""
    objective = OBJECTIVES[BUILTIN[name].family]
    return objective(tokenizer, _TEXTS[name](count, seed), batch_size, MAX_TOKENS, seed)[1]


def _restatements(count: int, seed: int) -> list[Text]:
    return [(one, other) for one, other in language.restatements(count, seed)]


def _next_words(count: int, seed: int) -> list[Text]:
    return list(language.paragraphs(count, seed))


def _to_restore(count: int, seed: int) -> list[Text]:
    half = count // 2
    articles = language.headline(half, seed, split="train")
    return [*language.restatements(half, seed), *(article["document"] for article in articles)]


_TEXTS: dict[str, Callable[[int, int], list[Text]]] = {
    "tiny-bert": _restatements,
    "tiny-gpt2": _next_words,
    "tiny-bart": _to_restore,
}
