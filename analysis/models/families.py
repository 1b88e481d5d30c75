"""Models of the three families at any size, with random weights: real classes of transformers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
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
)

from analysis.errors import RequestError, unknown

_ALIKE = 0.105  # size of query and key weights where tokens begin by attending to their like


@dataclass(frozen=True)
class Shape:
    """The size of a model.

    layers      of each stack: an encoder-decoder model has so many twice
    width       of the hidden states; feed-forward layers are four times as wide
    positions   the longest text, in tokens
    dropout     share of activations, attention weights among them
    init        standard deviation of the first weights. The usual 0.02 is meant for widths from
                768: at 128, BART would not begin to copy
    alike       how many layers of an encoder, counted from the first, begin by attending from each
                token to those like it
    position    what position embeddings are multiplied by, so as not to outweigh likeness
    """

    layers: int
    width: int
    heads: int
    positions: int
    dropout: float = 0.0
    init: float = 0.02
    alike: int = 0
    position: float = 1.0


def build(family: str, shape: Shape, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """BERT, GPT-2 or BART of that shape, its weights drawn from torch's global generator.

    Raises RequestError if the family is unknown or the width is no multiple of the heads.
    """
    if family not in _BUILDERS:
        raise RequestError(unknown("family", family, _BUILDERS))
    if shape.width % shape.heads:
        raise RequestError(
            f"width {shape.width} cannot be divided among {shape.heads} heads; give a multiple"
        )
    return _BUILDERS[family](shape, tokenizer)


def _bert(shape: Shape, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.width,
            max_position_embeddings=shape.positions,
            hidden_dropout_prob=shape.dropout,
            attention_probs_dropout_prob=shape.dropout,
            initializer_range=shape.init,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    for layer in range(min(shape.alike, shape.layers)):
        attention = model.get_submodule(f"bert.encoder.layer.{layer}.attention.self")
        _attend_to_alike(attention.get_submodule("query"), attention.get_submodule("key"))
    model.bert.embeddings.position_embeddings.weight.data.mul_(shape.position)
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


def _gpt2(shape: Shape, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            activation_function="gelu_pytorch_tanh",
            n_positions=shape.positions,
            resid_pdrop=shape.dropout,
            embd_pdrop=shape.dropout,
            attn_pdrop=shape.dropout,
            initializer_range=shape.init,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _bart(shape: Shape, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=len(tokenizer),
            d_model=shape.width,
            encoder_layers=shape.layers,
            decoder_layers=shape.layers,
            encoder_attention_heads=shape.heads,
            decoder_attention_heads=shape.heads,
            encoder_ffn_dim=4 * shape.width,
            decoder_ffn_dim=4 * shape.width,
            max_position_embeddings=shape.positions,
            dropout=shape.dropout,
            init_std=shape.init,
            num_labels=2,  # type: ignore[call-arg]  # its default is 3
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            decoder_start_token_id=tokenizer.eos_token_id,
            forced_eos_token_id=tokenizer.eos_token_id,
        )
    )
    for layer in range(min(shape.alike, shape.layers)):
        attention = model.get_submodule(f"model.encoder.layers.{layer}.self_attn")
        _attend_to_alike(attention.get_submodule("q_proj"), attention.get_submodule("k_proj"))
    model.model.encoder.embed_positions.weight.data.mul_(shape.position)
    return model


_BUILDERS: dict[str, Callable[[Shape, PreTrainedTokenizerBase], PreTrainedModel]] = {
    "encoder-only": _bert,
    "decoder-only": _gpt2,
    "encoder-decoder": _bart,
}
