"""Tokenizers learnt from texts: byte-level BPE with the special tokens of a family of models."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

_ASCII = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]  # Ġ, Ċ: byte-level space, new line


@dataclass(frozen=True)
class Convention:
    """How a kind of model marks texts.

    special      role -> token, in the order of their ids, "unk_token" among them; several roles may
                 share a token
    templates    what is put around a text $A, and around a pair $A, $B; None: nothing
    numbers      whether the sentences of a pair are told apart by token types
    """

    special: Mapping[str, str]
    templates: tuple[str, str] | None = None
    numbers: bool = False


def roles(**special: str) -> dict[str, str]:
    """Tokens by their roles, as transformers calls these: pad is pad_token."""
    return {f"{role}_token": token for role, token in special.items()}


BERT = Convention(
    roles(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]"),
    ("[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"),
    numbers=True,
)
BART = Convention(
    roles(bos="<s>", pad="<pad>", eos="</s>", unk="<unk>", cls="<s>", sep="</s>", mask="<mask>"),
    ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
)
_CONVENTIONS = {
    "encoder-only": BERT,
    "decoder-only": Convention(
        roles(bos="<|endoftext|>", eos="<|endoftext|>", unk="<unk>", pad="<pad>")
    ),
    "encoder-decoder": BART,
}


def learn_tokenizer(
    family: str,
    texts: Iterable[str],
    *,
    size: int,
    max_tokens: int,
    all_bytes: bool = True,
    uncased: bool = False,
    **settings: str,
) -> PreTrainedTokenizerFast:
    """Byte-level BPE as GPT-2 has it, of at most `size` tokens, learnt from the texts.

    With `all_bytes` every text round-trips; else every ASCII text does, and other bytes become the
    unknown token. An uncased tokenizer reads all in lower case, and a space before each text, so
    that a word is the same token wherever it stands. `settings` are kept with the tokenizer.
    """
    return learn_bpe(
        _CONVENTIONS[family],
        texts,
        size=size,
        max_tokens=max_tokens,
        all_bytes=all_bytes,
        uncased=uncased,
        **settings,
    )


def learn_bpe(
    how: Convention,
    texts: Iterable[str],
    *,
    size: int,
    max_tokens: int,
    all_bytes: bool = True,
    uncased: bool = False,
    **settings: str,
) -> PreTrainedTokenizerFast:
    """As `learn_tokenizer`, with other special tokens, which have the first ids in their order."""
    special = how.special
    bpe = Tokenizer(models.BPE(unk_token=special["unk_token"]))
    if uncased:
        bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=uncased)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(dict.fromkeys(special.values())),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if all_bytes else _ASCII,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    if how.templates:
        single, pair = how.templates
        ids = [(token, bpe.token_to_id(token)) for token in dict.fromkeys(special.values())]
        bpe.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=ids
        )
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        model_max_length=max_tokens,
        model_input_names=["token_type_ids", *inputs] if how.numbers else inputs,
        clean_up_tokenization_spaces=False,
        **settings,
        **special,
    )
