"""The built-in models' architectures and tokenizers: real classes, about a million weights."""

from collections.abc import Callable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from analysis import language
from analysis.models.catalogue import MAX_TOKENS

_VOCABULARY = 1200
_WIDTH = 128
_HEADS = 4
# The usual 0.02 is meant for widths from 768: at 128, BART would not begin to copy. BERT, which
# normalises after each layer, learns nothing at first from weights as large as the others'.
_INIT = {"tiny-bert": 0.05, "tiny-gpt2": 0.08, "tiny-bart": 0.08}
_ALIKE = 0.105  # size of query and key weights where tokens begin by attending to their like
_LAYERS_ALIKE = 2  # of the encoder, counted from the first
_POSITION = 0.4  # … which position must not outweigh
_ASCII = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]  # Ġ, Ċ: byte-level space, new line
_SPECIAL = {
    "tiny-bert": {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    "tiny-gpt2": {
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
    },
    "tiny-bart": {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    },
}
_PAIRS = {
    "tiny-bert": ("[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"),
    "tiny-bart": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
}


def build_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE as GPT-2 has it, learnt from the language, with the family's special tokens.

    Every ASCII text round-trips; other bytes become the unknown token.
    """
    special = _SPECIAL[name]
    bpe = Tokenizer(models.BPE(unk_token=special["unk_token"]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=list(dict.fromkeys(special.values())),
        initial_alphabet=_ASCII,
        show_progress=False,
    )
    bpe.train_from_iterator(_sample_of_language(), trainer)
    if name in _PAIRS:
        single, pair = _PAIRS[name]
        ids = [(token, bpe.token_to_id(token)) for token in dict.fromkeys(special.values())]
        bpe.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=ids
        )
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        model_max_length=MAX_TOKENS,
        model_input_names=["token_type_ids", *inputs] if name == "tiny-bert" else inputs,
        clean_up_tokenization_spaces=False,
        builtin_name=name,
        **special,
    )


def build_model(name: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The model with random weights, drawn from torch's global generator."""
    return _BUILDERS[name](tokenizer)


def _sample_of_language() -> list[str]:
    articles = language.headline(1_000, 0, split="train")
    reviews = language.sentiment(1_000, 0, split="train")
    return [
        *language.paragraphs(6_000, 0),
        *(text for pair in language.restatements(1_000, 0) for text in pair),
        *(text for example in articles for text in example.values()),
        *(example["sentence"] for example in reviews),
    ]


def _bert(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=_WIDTH,
            num_hidden_layers=4,
            num_attention_heads=_HEADS,
            intermediate_size=4 * _WIDTH,
            max_position_embeddings=MAX_TOKENS,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=_INIT["tiny-bert"],
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    for layer in range(_LAYERS_ALIKE):
        attention = model.get_submodule(f"bert.encoder.layer.{layer}.attention.self")
        _attend_to_alike(attention.get_submodule("query"), attention.get_submodule("key"))
    model.bert.embeddings.position_embeddings.weight.data.mul_(_POSITION)
    return model


def _attend_to_alike(query: nn.Module, key: nn.Module) -> None:
    """Make query and key weights equal, so that a token attends first to tokens like itself.

    Without this a model of this size needs thousands of steps to find out that two sentences can
    be compared word by word. After Trockman and Kolter, Mimetic Initialization of Self-Attention
    Layers, 2023.
    """
    nn.init.normal_(query.get_parameter("weight"), std=_ALIKE)
    with torch.no_grad():
        key.get_parameter("weight").copy_(query.get_parameter("weight"))


def _gpt2(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=_WIDTH,
            n_layer=4,
            n_head=_HEADS,
            activation_function="gelu_pytorch_tanh",
            n_positions=MAX_TOKENS,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            initializer_range=_INIT["tiny-gpt2"],
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _bart(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=len(tokenizer),
            d_model=_WIDTH,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=_HEADS,
            decoder_attention_heads=_HEADS,
            encoder_ffn_dim=4 * _WIDTH,
            decoder_ffn_dim=4 * _WIDTH,
            max_position_embeddings=MAX_TOKENS,
            dropout=0.0,
            init_std=_INIT["tiny-bart"],
            num_labels=2,  # type: ignore[call-arg]  # its default is 3
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            decoder_start_token_id=tokenizer.eos_token_id,
            forced_eos_token_id=tokenizer.eos_token_id,
        )
    )
    for layer in range(_LAYERS_ALIKE):
        attention = model.get_submodule(f"model.encoder.layers.{layer}.self_attn")
        _attend_to_alike(attention.get_submodule("q_proj"), attention.get_submodule("k_proj"))
    model.model.encoder.embed_positions.weight.data.mul_(_POSITION)
    return model


_BUILDERS: dict[str, Callable[[PreTrainedTokenizerBase], PreTrainedModel]] = {
    "tiny-bert": _bert,
    "tiny-gpt2": _gpt2,
    "tiny-bart": _bart,
}
