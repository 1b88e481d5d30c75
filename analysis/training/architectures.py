"""The built-in models' architectures and tokenizers: real classes, about a million weights."""

from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from analysis import language
from analysis.models.catalogue import BUILTIN, MAX_TOKENS
from analysis.models.families import Shape, build
from analysis.training.vocabulary import learn_tokenizer

_VOCABULARY = 1200
# BERT, which normalises after each layer, learns nothing at first from weights as large as the
# others'.
_SHAPES = {
    "tiny-bert": Shape(4, 128, 4, MAX_TOKENS, init=0.05, alike=2, position=0.4),
    "tiny-gpt2": Shape(4, 128, 4, MAX_TOKENS, init=0.08),
    "tiny-bart": Shape(2, 128, 4, MAX_TOKENS, init=0.08, alike=2, position=0.4),
}


def build_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE learnt from the language; other bytes than ASCII's are unknown to it."""
    return learn_tokenizer(
        BUILTIN[name].family,
        _sample_of_language(),
        size=_VOCABULARY,
        max_tokens=MAX_TOKENS,
        all_bytes=False,
        builtin_name=name,
    )


def build_model(name: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The model with random weights, drawn from torch's global generator."""
    return build(BUILTIN[name].family, _SHAPES[name], tokenizer)


def _sample_of_language() -> list[str]:
    articles = language.headline(1_000, 0, split="train")
    reviews = language.sentiment(1_000, 0, split="train")
    return [
        *language.paragraphs(6_000, 0),
        *(text for pair in language.restatements(1_000, 0) for text in pair),
        *(text for example in articles for text in example.values()),
        *(example["sentence"] for example in reviews),
    ]
