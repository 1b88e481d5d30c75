"""Small tokenizers in place of published ones, with the special tokens that a type of model uses.

Each is learnt from the built-in language, the same on every machine, and reads any text.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import sentencepiece
from transformers import M2M100Tokenizer, PreTrainedTokenizerBase
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

from analysis import language
from analysis.training.vocabulary import BART, BERT, Convention, learn_bpe, roles

_SIZE = 1200
_PARAGRAPHS = 2_000
_TRANSLATES = "m2m_100"  # its texts begin with their language, which only its own class can do
_ENDED = ("$A </s>", "$A $B </s>")
_CONVENTIONS = {
    "bert": BERT,
    "megatron-bert": BERT,
    "deberta-v2": Convention(
        roles(pad="[PAD]", cls="[CLS]", sep="[SEP]", unk="[UNK]", mask="[MASK]"),
        BERT.templates,
        numbers=True,
    ),
    "roberta": BART,
    "bart": BART,
    # as published, without a token to pad with
    "gpt2": Convention(roles(bos="<|endoftext|>", eos="<|endoftext|>", unk="<|endoftext|>")),
    "t5": Convention(roles(pad="<pad>", eos="</s>", unk="<unk>"), _ENDED),
    "pegasus": Convention(roles(pad="<pad>", eos="</s>", mask="<mask_2>", unk="<unk>"), _ENDED),
}


def write_tokenizer(model_type: str, max_tokens: int, out: Path) -> PreTrainedTokenizerBase:
    """Learn a tokenizer for a type of model, and save it to a folder.

    AutoTokenizer opens it there. max_tokens is of a text.
    """
    texts = language.paragraphs(_PARAGRAPHS, 0)
    tokenizer: PreTrainedTokenizerBase
    if model_type == _TRANSLATES:
        tokenizer = _m2m100(texts, max_tokens, out)
    else:
        how = _CONVENTIONS[model_type]
        tokenizer = learn_bpe(how, texts, size=_SIZE, max_tokens=max_tokens)
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
