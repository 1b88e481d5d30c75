"""Every tensor of the three families is called what its module is."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BartForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
)
from transformers.pytorch_utils import Conv1D

from analysis.models.naming import KINDS, PARTS, weight, weights

BERT = BertConfig(
    vocab_size=60,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=20,
)
GPT2 = GPT2Config(vocab_size=60, n_embd=8, n_layer=2, n_head=2, n_positions=20, pad_token_id=0)
BART = BartConfig(
    vocab_size=60,
    d_model=8,
    encoder_layers=2,
    decoder_layers=3,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=16,
    decoder_ffn_dim=16,
    max_position_embeddings=20,
)
DECODER = "model.decoder.layers.0"
MODELS = {
    BertForSequenceClassification: (BERT, "encoder-only"),
    BertForMaskedLM: (BERT, "encoder-only"),
    GPT2LMHeadModel: (GPT2, "decoder-only"),
    GPT2ForSequenceClassification: (GPT2, "decoder-only"),
    BartForConditionalGeneration: (BART, "encoder-decoder"),
    BartForSequenceClassification: (BART, "encoder-decoder"),
}


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: model.__name__)
def named(request):
    """A model, and what each of its parameters is called; tied ones once."""
    config, family = MODELS[request.param]
    model = request.param(config)
    return model, weights([name for name, _ in model.named_parameters()], family)


def of_type(model, *types):
    """Names of the parameters of the modules of these types."""
    return {
        f"{name}.{own}"
        for name, module in model.named_modules()
        if isinstance(module, types)
        for own, _ in module.named_parameters(recurse=False)
    }


def in_blocks(model):
    """Names of the parameters inside the transformer's blocks: below a list of modules."""
    lists = [n for n, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)]
    return {
        name
        for name, _ in model.named_parameters()
        if any(name.startswith(f"{prefix}.") for prefix in lists)
    }


def test_every_parameter_has_a_part_and_a_kind(named):
    model, names = named
    assert names.keys() == dict(model.named_parameters()).keys()
    for name, what in names.items():
        assert what.name == name
        assert what.part in PARTS
        assert what.kind in KINDS


def test_prunable_are_exactly_the_linear_weights_inside_the_blocks(named):
    model, names = named
    linear = {n for n in of_type(model, torch.nn.Linear, Conv1D) if n.endswith(".weight")}
    prunable = {name for name, what in names.items() if what.prunable}
    assert prunable == linear & in_blocks(model)
    assert prunable


def test_norms_are_exactly_the_parameters_of_layer_norms(named):
    model, names = named
    norms = {name for name, what in names.items() if what.kind == "norm"}
    assert norms == of_type(model, torch.nn.LayerNorm) & names.keys()


def test_embeddings_are_exactly_the_parameters_of_embeddings(named):
    model, names = named
    kinds = ("token embedding", "position")
    embeddings = {name for name, what in names.items() if what.kind in kinds}
    assert embeddings == of_type(model, torch.nn.Embedding) & names.keys()


def test_biases_are_exactly_the_other_vectors_called_bias(named):
    _, names = named
    for name, what in names.items():
        assert (what.kind == "bias") == (name.endswith(".bias") and what.kind != "norm")


def test_the_kind_head_is_outside_the_blocks_and_a_matrix(named):
    model, names = named
    for name, what in names.items():
        if what.kind == "head":
            assert what.part == "head"
            assert what.layer is None
            assert name not in in_blocks(model)


def test_layers_are_numbered_where_there_are_blocks_and_nowhere_else(named):
    model, names = named
    assert {name for name, what in names.items() if what.layer is not None} == in_blocks(model)
    found = {(what.part, what.layer) for what in names.values() if what.layer is not None}
    expected = {
        "bert": {("encoder", 0), ("encoder", 1)},
        "gpt2": {("decoder", 0), ("decoder", 1)},
        "bart": {("encoder", i) for i in range(2)} | {("decoder", i) for i in range(3)},
    }
    assert found == expected[model.config.model_type]


def test_every_block_of_a_part_has_the_same_kinds_and_shapes(named):
    model, names = named
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    blocks = {}
    for name, what in names.items():
        if what.layer is not None:
            key = (what.part, what.layer)
            blocks.setdefault(key, []).append((what.kind, shapes[name]))
    for part in PARTS:
        of_part = [sorted(b) for (p, _), b in blocks.items() if p == part]
        assert all(block == of_part[0] for block in of_part)


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("bert.encoder.layer.11.attention.self.key.weight", "encoder-only", "attention key"),
        ("bert.encoder.layer.0.attention.output.dense.weight", "encoder-only", "attention output"),
        ("bert.encoder.layer.0.output.dense.weight", "encoder-only", "ffn out"),
        ("bert.encoder.layer.0.intermediate.dense.weight", "encoder-only", "ffn in"),
        ("bert.embeddings.token_type_embeddings.weight", "encoder-only", "token embedding"),
        ("bert.embeddings.position_embeddings.weight", "encoder-only", "position"),
        ("transformer.h.3.attn.c_attn.weight", "decoder-only", "attention query-key-value"),
        ("transformer.h.3.attn.c_proj.weight", "decoder-only", "attention output"),
        ("transformer.h.3.mlp.c_proj.weight", "decoder-only", "ffn out"),
        ("transformer.h.3.mlp.c_proj.bias", "decoder-only", "bias"),
        ("transformer.wte.weight", "decoder-only", "token embedding"),
        ("transformer.wpe.weight", "decoder-only", "position"),
        ("score.weight", "decoder-only", "head"),
        (f"{DECODER}.encoder_attn.q_proj.weight", "encoder-decoder", "cross-attention query"),
        (f"{DECODER}.encoder_attn.out_proj.weight", "encoder-decoder", "cross-attention output"),
        (f"{DECODER}.self_attn.out_proj.weight", "encoder-decoder", "attention output"),
        (f"{DECODER}.encoder_attn_layer_norm.weight", "encoder-decoder", "norm"),
        ("model.encoder.layers.0.fc1.weight", "encoder-decoder", "ffn in"),
        ("model.encoder.layers.0.fc2.weight", "encoder-decoder", "ffn out"),
        ("model.shared.weight", "encoder-decoder", "token embedding"),
        ("classification_head.out_proj.weight", "encoder-decoder", "head"),
    ],
)  # fmt: skip
def test_kinds_are_the_fields_words(name, family, expected):
    assert weight(name, family).kind == expected


@pytest.mark.parametrize(
    ("name", "family", "part", "layer"),
    [
        ("bert.encoder.layer.11.output.dense.weight", "encoder-only", "encoder", 11),
        ("bert.embeddings.word_embeddings.weight", "encoder-only", "embedding", None),
        ("bert.embeddings.LayerNorm.weight", "encoder-only", "embedding", None),
        ("bert.pooler.dense.weight", "encoder-only", "head", None),
        ("cls.predictions.transform.LayerNorm.weight", "encoder-only", "head", None),
        ("transformer.h.3.ln_1.weight", "decoder-only", "decoder", 3),
        ("transformer.ln_f.weight", "decoder-only", "decoder", None),
        ("transformer.wpe.weight", "decoder-only", "embedding", None),
        ("model.encoder.layers.1.fc1.weight", "encoder-decoder", "encoder", 1),
        ("model.decoder.layers.1.fc1.weight", "encoder-decoder", "decoder", 1),
        ("model.decoder.layers.1.encoder_attn.k_proj.weight", "encoder-decoder", "decoder", 1),
        ("model.shared.weight", "encoder-decoder", "embedding", None),
        ("classification_head.dense.weight", "encoder-decoder", "head", None),
    ],
)
def test_parts_and_layers_are_where_the_tensor_stands(name, family, part, layer):
    what = weight(name, family)
    assert (what.part, what.layer) == (part, layer)


def test_a_model_without_its_prefix_is_named_alike():
    """`from_pretrained` of the bare model saves the same tensors without `bert.`."""
    for bare in ("encoder.layer.0.output.dense.weight", "embeddings.LayerNorm.weight"):
        one, two = weight(bare, "encoder-only"), weight(f"bert.{bare}", "encoder-only")
        assert (one.part, one.layer, one.kind) == (two.part, two.layer, two.kind)


@given(st.text(max_size=30), st.sampled_from(["encoder-only", "decoder-only", "encoder-decoder"]))
def test_any_name_gets_some_part_and_kind(name, family):
    what = weight(name, family)
    assert what.part in PARTS
    assert what.kind in KINDS
    assert not (what.prunable and what.layer is None)


@given(st.lists(st.text(max_size=5)))
def test_names_come_sorted_and_once(names):
    assert list(weights(names, "encoder-only")) == sorted(set(names))
