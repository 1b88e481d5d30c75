"""Small tokenizers in place of published ones, with the special tokens that a type of model uses.

Each is learnt from the built-in language, the same on every machine, and reads any text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
from transformers import M2M100Tokenizer, PreTrainedTokenizerBase
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

from analysis import language
from analysis.training.vocabulary import learn_bpe

_SIZE = 1200
_PARAGRAPHS = 2_000
_BYTES = 256
_TRANSLATES = "m2m_100"  # its texts begin with their language, which only its own class can do


@dataclass(frozen=True)
class _Convention:
    """How a type of model marks texts.

    special      role -> token, in the order of the ids that they have in published vocabularies
    templates    what is put around a text, and around a pair; None: nothing
    numbers      whether the sentences of a pair are told apart by token types
    """

    special: Mapping[str, str]
    templates: tuple[str, str] | None = None
    numbers: bool = False


def _roles(**special: str) -> dict[str, str]:
    return {f"{role}_token": token for role, token in special.items()}


_BERT = _Convention(
    _roles(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]"),
    ("[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"),
    numbers=True,
)
_BART = _Convention(
    _roles(bos="<s>", pad="<pad>", eos="</s>", unk="<unk>", cls="<s>", sep="</s>", mask="<mask>"),
    ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
)
_ENDED = ("$A </s>", "$A $B </s>")
_CONVENTIONS = {
    "bert": _BERT,
    "megatron-bert": _BERT,
    "deberta-v2": _Convention(
        _roles(pad="[PAD]", cls="[CLS]", sep="[SEP]", unk="[UNK]", mask="[MASK]"),
        _BERT.templates,
        numbers=True,
    ),
    "roberta": _BART,
    "bart": _BART,
    # as published, without a token to pad with
    "gpt2": _Convention(_roles(bos="<|endoftext|>", eos="<|endoftext|>", unk="<|endoftext|>")),
    "t5": _Convention(_roles(pad="<pad>", eos="</s>", unk="<unk>"), _ENDED),
    "pegasus": _Convention(_roles(pad="<pad>", eos="</s>", mask="<mask_2>", unk="<unk>"), _ENDED),
}
MODEL_TYPES = sorted({*_CONVENTIONS, _TRANSLATES})


def write_tokenizer(model_type: str, max_tokens: int, out: Path) -> PreTrainedTokenizerBase:
    """Learn a tokenizer for a type of model (one of MODEL_TYPES), and save it to a folder.

    AutoTokenizer opens it there. max_tokens is of a text.
    """
    texts = language.paragraphs(_PARAGRAPHS, 0)
    tokenizer: PreTrainedTokenizerBase
    if model_type == _TRANSLATES:
        tokenizer = _m2m100(texts, max_tokens, out)
    else:
        how = _CONVENTIONS[model_type]
        tokenizer = learn_bpe(
            how.special,
            how.templates,
            texts,
            size=_SIZE,
            max_tokens=max_tokens,
            numbers_sentences=how.numbers,
        )
    tokenizer.save_pretrained(out)
    return tokenizer


def _m2m100(texts: Sequence[str], max_tokens: int, out: Path) -> PreTrainedTokenizerBase:
    """M2M100's own tokenizer, of a sentencepiece model learnt here; its 100 languages come last."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    model = out / M2M100Tokenizer.vocab_files_names["spm_file"]
    with model.open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=stream,
            model_type="bpe",
            vocab_size=_SIZE,
            bos_id=0,
            pad_id=1,
            eos_id=2,
            unk_id=3,
            byte_fallback=True,
            num_threads=1,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    assert pieces[: len(special)] == special
    vocabulary = out / M2M100Tokenizer.vocab_files_names["vocab_file"]
    vocabulary.write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    languages = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]
    return M2M100Tokenizer(
        vocab_file=str(vocabulary),
        spm_file=str(model),
        src_lang="en",
        num_madeup_words=0,
        additional_special_tokens=languages,
        model_max_length=max_tokens,
    )
