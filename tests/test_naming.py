"""Every tensor of every family is called what its module is, and counted once."""

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn
from transformers.pytorch_utils import Conv1D

from analysis.models.naming import (
    KINDS,
    PARTS,
    PRUNABLE_KINDS,
    Weight,
    family,
    is_buffer,
    weight,
    weights,
)

TWO = {"num_hidden_layers": 2, "num_attention_heads": 2}
WIDTHS = {"vocab_size": 60, "hidden_size": 8, "intermediate_size": 16}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BERT = {**WIDTHS, **TWO, "max_position_embeddings": 20}
DEBERTA = {**BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
XXLARGE = {
    **DEBERTA,
    "conv_kernel_size": 3,
    "position_buckets": 4,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
    "type_vocab_size": 0,
}
SEQ2SEQ = {
    "vocab_size": 60,
    "d_model": 8,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 20,
}
T5 = {
    "vocab_size": 60,
    "d_model": 8,
    "d_kv": 4,
    "d_ff": 16,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 2,
}
GATED = {**T5, "feed_forward_proj": "gated-gelu"}
GPT2 = {"vocab_size": 60, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 20, **SPECIAL}
LLAMA = {**BERT, **SPECIAL, "num_key_value_heads": 2}
OPT = {**TWO, "vocab_size": 60, "hidden_size": 8, "ffn_dim": 16, "max_position_embeddings": 20}
FALCON = {**TWO, "vocab_size": 60, "hidden_size": 8, **SPECIAL}
DISTILBERT = {"vocab_size": 60, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16}
MODERNBERT = {**BERT, **SPECIAL, "cls_token_id": 1, "sep_token_id": 2}
DEEPSEEK = {
    **LLAMA,
    "moe_intermediate_size": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 0,
    "q_lora_rank": 4,
    "kv_lora_rank": 4,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 4,
}
XGLM = {
    "vocab_size": 60,
    "d_model": 8,
    "ffn_dim": 16,
    "num_layers": 2,
    "attention_heads": 2,
    "max_position_embeddings": 20,
}
GPT_NEO = {
    "vocab_size": 60,
    "hidden_size": 8,
    "num_layers": 2,
    "num_heads": 2,
    "attention_types": [[["global", "local"], 1]],
    "max_position_embeddings": 20,
}
SWITCH = {**T5, "num_sparse_encoder_layers": 2, "num_sparse_decoder_layers": 3, "num_experts": 2}
NLLB_MOE = {**SEQ2SEQ, "encoder_sparse_step": 1, "decoder_sparse_step": 1, "num_experts": 2}
MAMBA = {"vocab_size": 60, "hidden_size": 8, "state_size": 4, "num_hidden_layers": 2}
MAMBA2 = {**MAMBA, "num_heads": 4, "head_dim": 4, "n_groups": 1}
VIT = {**TWO, "hidden_size": 8, "intermediate_size": 16, "image_size": 8, "patch_size": 4}
CLIP = {"text_config": BERT, "vision_config": VIT, "projection_dim": 8}

ENCODER, DECODER = {"encoder": 2}, {"decoder": 2}
BOTH = {"encoder": 2, "decoder": 3}
MODELS = [  # class, what its config says, how many blocks each stack has
    ("BertForMaskedLM", BERT, ENCODER),
    ("BertForPreTraining", BERT, ENCODER),
    ("BertForSequenceClassification", BERT, ENCODER),
    ("BertForQuestionAnswering", BERT, ENCODER),
    ("RobertaForMaskedLM", BERT, ENCODER),
    ("RobertaForSequenceClassification", BERT, ENCODER),
    ("XLMRobertaForMaskedLM", BERT, ENCODER),
    ("DebertaForMaskedLM", DEBERTA, ENCODER),
    ("DebertaV2ForMaskedLM", XXLARGE, ENCODER),
    ("DebertaV2ForMaskedLM", {**DEBERTA, "legacy": False, "embedding_size": 4}, ENCODER),
    ("DebertaV2ForSequenceClassification", XXLARGE, ENCODER),
    ("MegatronBertForMaskedLM", BERT, ENCODER),
    ("MegatronBertForSequenceClassification", BERT, ENCODER),
    ("DistilBertForMaskedLM", DISTILBERT, ENCODER),
    ("DistilBertForSequenceClassification", DISTILBERT, ENCODER),
    ("ElectraForPreTraining", {**BERT, "embedding_size": 4}, ENCODER),
    ("ElectraForMaskedLM", {**BERT, "embedding_size": 4}, ENCODER),
    ("ElectraForSequenceClassification", {**BERT, "embedding_size": 4}, ENCODER),
    ("AlbertForMaskedLM", {**BERT, "embedding_size": 4, "num_hidden_groups": 2}, ENCODER),
    ("ModernBertForMaskedLM", MODERNBERT, ENCODER),
    ("GPT2LMHeadModel", GPT2, DECODER),
    ("GPT2LMHeadModel", {**GPT2, "add_cross_attention": True}, DECODER),
    ("GPT2ForSequenceClassification", GPT2, DECODER),
    ("GPTJForCausalLM", {**GPT2, "rotary_dim": 4}, DECODER),
    ("GPTNeoXForCausalLM", {**BERT, **SPECIAL}, DECODER),
    ("OPTForCausalLM", OPT, DECODER),
    ("OPTForCausalLM", {**OPT, "word_embed_proj_dim": 4}, DECODER),
    ("BloomForCausalLM", {"vocab_size": 60, "hidden_size": 8, "n_layer": 2, "n_head": 2}, DECODER),
    ("FalconForCausalLM", {**FALCON, "bias": True}, DECODER),
    ("FalconForCausalLM", {**FALCON, "new_decoder_architecture": True}, DECODER),
    ("LlamaForCausalLM", LLAMA, DECODER),
    ("LlamaForSequenceClassification", LLAMA, DECODER),
    ("Qwen2ForCausalLM", LLAMA, DECODER),
    ("Qwen3ForCausalLM", {**LLAMA, "head_dim": 4}, DECODER),
    ("MistralForCausalLM", LLAMA, DECODER),
    ("MixtralForCausalLM", {**LLAMA, "num_local_experts": 3}, DECODER),
    ("PhiForCausalLM", {**LLAMA, "qk_layernorm": True}, DECODER),
    ("Phi3ForCausalLM", LLAMA, DECODER),
    ("DeepseekV2ForCausalLM", DEEPSEEK, DECODER),
    ("DeepseekV2ForCausalLM", {**DEEPSEEK, "q_lora_rank": None, "attention_bias": True}, DECODER),
    ("DeepseekV3ForCausalLM", DEEPSEEK, DECODER),
    ("XGLMForCausalLM", XGLM, DECODER),
    ("BioGptForCausalLM", BERT, DECODER),
    ("BioGptForSequenceClassification", BERT, DECODER),
    ("GPTNeoForCausalLM", GPT_NEO, DECODER),
    ("BartForConditionalGeneration", SEQ2SEQ, BOTH),
    ("BartForSequenceClassification", SEQ2SEQ, BOTH),
    ("PegasusForConditionalGeneration", SEQ2SEQ, BOTH),
    ("M2M100ForConditionalGeneration", SEQ2SEQ, BOTH),
    ("T5ForConditionalGeneration", T5, BOTH),
    ("T5ForConditionalGeneration", GATED, BOTH),
    ("T5ForSequenceClassification", T5, BOTH),
    ("MT5ForConditionalGeneration", GATED, BOTH),
    ("SwitchTransformersForConditionalGeneration", SWITCH, BOTH),
    ("NllbMoeForConditionalGeneration", NLLB_MOE, BOTH),
]  # fmt: skip
# linear layers that are not of the block's attention or FFN
POSITION_PROJECTIONS = ("pos_key_proj", "pos_query_proj", "pos_proj", "pos_q_proj")
EMBEDDING_PROJECTIONS = (
    "project_in",
    "project_out",
    "embeddings_project",
    "embed_proj",
    "embedding_hidden_mapping_in",
)

# T5's first block alone has the stack's relative positions, ModernBERT's alone lacks a norm
ONLY_SOME_BLOCKS = ("relative_attention_bias", "attn_norm")


def model_of(class_name, of_config):
    """A model of that class without values: its names and shapes."""
    model_class = getattr(transformers, class_name)
    with torch.device("meta"):
        return model_class(model_class.config_class(**of_config))


def stored(class_name, of_config, folder):
    """The names under which transformers saves a model of that class."""
    model_class = getattr(transformers, class_name)
    model_class(model_class.config_class(**of_config)).save_pretrained(folder)
    with safe_open(folder / "model.safetensors", framework="pt") as tensors:
        return list(tensors.keys())


def named_by(state):
    """What each tensor of a state dict is; the same object means the same values."""
    return weights(state, same=lambda one, other: state[one] is state[other])


def state_of(model):
    return dict(model.state_dict(keep_vars=True))


def parameters_of(model):
    """Names of the parameters, also the tied ones."""
    return {name for name, _ in model.named_parameters(remove_duplicate=False)}


def parameters_in(model, is_such):
    """Names of the parameters that modules of that sort own themselves, also the tied ones."""
    return {
        f"{name}.{own}"
        for name, module in model.named_modules(remove_duplicate=False)
        if is_such(module)
        for own, _ in module.named_parameters(recurse=False)
    }


def is_linear(module):
    return isinstance(module, nn.Linear | Conv1D)


def is_norm(module):
    return type(module).__name__.endswith("Norm")


def is_embedding(module):
    return isinstance(module, nn.Embedding)


def is_stack_of_experts(module):
    return type(module).__name__.endswith("Experts")


def parameters_of_routers(model):
    """Names of the parameters that are a router's, or those of a module within it."""
    routers = [n for n, module in model.named_modules() if type(module).__name__.endswith("Router")]
    return {
        name for name in parameters_of(model) if name.startswith(tuple(f"{n}." for n in routers))
    }


def number_of_block(model):
    """For each parameter inside a list of modules, its number in the outermost list."""
    lists = [n for n, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    outermost = [n for n in lists if not any(n.startswith(f"{other}.") for other in lists)]
    return {
        name: int(name.removeprefix(f"{prefix}.").split(".")[0])
        for name in parameters_of(model)
        for prefix in outermost
        if name.startswith(f"{prefix}.")
    }


def untied_size(state, named):
    return sum(state[name].numel() for name, what in named.items() if what.tied_to is None)


def size_without_head(state, named):
    base = {name: what for name, what in named.items() if what.part != "head"}
    return untied_size(state, base)


@pytest.fixture(scope="module", params=MODELS, ids=lambda case: case[0])
def case(request):
    """A model, what each of its tensors is called, and the blocks of each of its stacks."""
    class_name, of_config, blocks = request.param
    model = model_of(class_name, of_config)
    return model, named_by(state_of(model)), blocks


def test_every_parameter_is_understood_and_buffers_are_left_out(case):
    model, named, _ = case
    assert list(named) == sorted(parameters_of(model))
    assert {name for name in state_of(model) if is_buffer(name)} == (
        state_of(model).keys() - parameters_of(model)
    )
    for name, what in named.items():
        assert what.understood
        assert what.name == name
        assert what.part in PARTS
        assert what.kind in KINDS


def test_every_parameter_is_counted_once(case):
    model, named, _ = case
    state = state_of(model)
    assert untied_size(state, named) == sum(p.numel() for p in model.parameters())
    for name, what in named.items():
        if what.tied_to is not None:
            assert state[name] is state[what.tied_to]
            assert named[what.tied_to].tied_to is None


def test_prunable_are_exactly_the_linear_weights_inside_the_blocks(case):
    model, named, _ = case
    linear = {name for name in parameters_in(model, is_linear) if name.endswith(".weight")}
    linear = {name for name in linear if name.split(".")[-2] not in POSITION_PROJECTIONS}
    linear -= parameters_of_routers(model)
    in_blocks = (linear | parameters_in(model, is_stack_of_experts)) & number_of_block(model).keys()
    assert {name for name, what in named.items() if what.prunable} == in_blocks
    assert in_blocks


def test_norms_are_exactly_the_parameters_of_norms(case):
    model, named, _ = case
    norms = {name for name, what in named.items() if what.kind == "norm"}
    assert norms == parameters_in(model, is_norm)


def test_embeddings_are_exactly_the_parameters_of_embeddings_and_of_what_projects_them(case):
    model, named, _ = case
    kinds = ("token embedding", "position")
    embeddings = {name for name, what in named.items() if what.kind in kinds}
    projections = {
        name
        for name in parameters_in(model, is_linear)
        if name.endswith(".weight")
        and name.split(".")[-2] in (*EMBEDDING_PROJECTIONS, *POSITION_PROJECTIONS)
    }
    assert embeddings == parameters_in(model, is_embedding) | projections
    for name in embeddings:
        assert (named[name].part == "embedding") == (name not in number_of_block(model))


def test_convolutions_are_exactly_the_matrices_of_convolutions(case):
    model, named, _ = case
    convolutions = parameters_in(model, lambda module: isinstance(module, nn.Conv1d))
    found = {name for name, what in named.items() if what.kind == "convolution"}
    assert found == {name for name in convolutions if name.endswith(".weight")}


def test_biases_are_exactly_the_other_vectors_called_bias(case):
    model, named, _ = case
    vectors = {name for name, tensor in state_of(model).items() if name.endswith("bias")}
    vectors -= parameters_in(model, is_norm)
    biases = {name for name, what in named.items() if what.kind == "bias"}
    assert biases == {name for name in vectors if not is_buffer(name)}


def test_layers_are_numbered_as_the_lists_of_blocks_are(case):
    model, named, blocks = case
    numbers = {name: what.layer for name, what in named.items() if what.layer is not None}
    assert numbers == number_of_block(model)
    stacks = {(what.part, what.layer) for what in named.values() if what.layer is not None}
    assert stacks == {(part, i) for part, count in blocks.items() for i in range(count)}


def test_the_family_is_that_of_the_stacks(case):
    _, named, blocks = case
    expected = "encoder-decoder" if len(blocks) == 2 else f"{next(iter(blocks))}-only"
    assert family(named.values()) == expected


def test_the_head_is_all_that_the_base_model_has_not_but_the_pooler(case):
    model, named, _ = case
    state = state_of(model)
    counted = {name: what for name, what in named.items() if what.tied_to is None}
    of_base = {id(parameter) for parameter in model.base_model.parameters()}
    outside = {name for name in counted if id(state[name]) not in of_base}
    heads = {name for name, what in counted.items() if what.part == "head"}
    assert heads == {name for name in outside if "pooler" not in name}
    for name in heads:
        assert named[name].kind in ("head", "bias", "norm")


def test_the_kind_head_is_a_head_a_pooler_or_a_router(case):
    model, named, _ = case
    for name, what in named.items():
        if what.kind == "head" and what.part != "head":
            assert "pooler" in name or name in parameters_of_routers(model)
            assert not what.prunable


def test_every_block_of_a_stack_has_the_same_kinds_and_shapes(case):
    model, named, blocks = case
    shapes = {name: tuple(tensor.shape) for name, tensor in state_of(model).items()}
    for part, count in blocks.items():
        contents = [
            sorted(
                (what.kind, shapes[name])
                for name, what in named.items()
                if (what.part, what.layer) == (part, i)
                and not any(special in name for special in ONLY_SOME_BLOCKS)
            )
            for i in range(count)
        ]
        assert all(content == contents[0] for content in contents)


def test_names_are_alike_with_and_without_prefixes(case):
    """`from_pretrained` of the bare model saves without `bert.`; wrappers add their own."""
    model, named, _ = case
    prefix = f"{model.base_model_prefix}."
    for name, what in named.items():
        for other in (name.removeprefix(prefix), f"module.{name}", f"base_model.model.{name}"):
            found = weight(other)
            assert (found.part, found.layer, found.kind) == (what.part, what.layer, what.kind)


@pytest.mark.parametrize(
    ("class_name", "of_config"), [("MambaForCausalLM", MAMBA), ("Mamba2ForCausalLM", MAMBA2)]
)
def test_a_state_space_model_has_no_attention_to_prune(class_name, of_config):
    named = named_by(state_of(model_of(class_name, of_config)))
    mixers = {name for name, what in named.items() if ".mixer." in name and what.kind != "norm"}
    assert {"in_proj.weight", "out_proj.weight"} <= {name.split("mixer.")[1] for name in mixers}
    assert not any(named[name].understood for name in mixers)
    assert not any(what.prunable for what in named.values())


@pytest.mark.parametrize(
    ("class_name", "of_config"),
    [
        ("SwitchTransformersForConditionalGeneration", {**T5, "num_experts": 2}),
        ("NllbMoeForConditionalGeneration", {**SEQ2SEQ, "num_experts": 2}),
        ("DeepseekV2ForCausalLM", {**DEEPSEEK, "first_k_dense_replace": 1}),
        ("DeepseekV3ForCausalLM", {**DEEPSEEK, "first_k_dense_replace": 1}),
        ("XGLMForCausalLM", XGLM),
        ("BioGptForCausalLM", BERT),
        ("GPTNeoForCausalLM", GPT_NEO),
    ],
)
def test_all_that_is_stored_is_understood(class_name, of_config, tmp_path):
    """Under other names than in memory (each expert apart), and with blocks unlike others."""
    named = weights(stored(class_name, of_config, tmp_path))
    assert named
    assert [name for name, what in named.items() if not what.understood] == []


IMAGES = [
    ("ViTModel", VIT),
    ("ViTForImageClassification", VIT),
    ("DeiTForImageClassification", VIT),
    ("BeitForImageClassification", VIT),
    ("Dinov2Model", VIT),
    ("CLIPModel", CLIP),
    ("CLIPTextModel", BERT),
    ("CLIPVisionModel", VIT),
]


@pytest.mark.parametrize(("class_name", "of_config"), IMAGES)
def test_no_model_of_images_is_called_a_decoder(class_name, of_config, tmp_path):
    in_memory = named_by(state_of(model_of(class_name, of_config)))
    on_disk = weights(stored(class_name, of_config, tmp_path))
    for named in (in_memory, on_disk):
        assert "decoder" not in {what.part for what in named.values()}
    assert family(in_memory.values()) in (None, "encoder-only")
    assert family(on_disk.values()) == "encoder-only"
    for name, what in on_disk.items():
        in_block = ".layer." in name or ".layers." in name
        assert what.understood or not in_block or "lambda" in name
        assert what.prunable == (in_block and name.endswith(".weight") and "norm" not in name)


def test_blocks_beside_the_embedding_of_patches_are_no_decoders():
    """timm's names, which are nobody else's only together."""
    blocks = ["blocks.0.mlp.fc1.weight", "blocks.0.norm1.weight", "norm.weight"]
    assert {what.part for what in weights(blocks).values()} == {"decoder"}
    with_patches = weights([*blocks, "patch_embed.proj.weight"])
    assert {what.part for what in with_patches.values()} == {"other"}
    assert {what.kind for what in with_patches.values()} == with_patches.keys()


def test_a_language_model_beside_a_model_of_images_stays_a_decoder():
    text = ["model.layers.0.mlp.up_proj.weight", "model.norm.weight"]
    images = ["visual.patch_embed.proj.weight", "visual.blocks.0.mlp.fc1.weight"]
    named = weights([*text, *images])
    assert {name for name, what in named.items() if what.part == "decoder"} == set(text)
    assert {name for name, what in named.items() if what.part == "other"} == set(images)


def test_a_final_norm_is_the_encoders_where_all_blocks_are():
    norm, block = "text_model.final_layer_norm.weight", "layers.0.mlp.fc1.weight"
    alone = weights([norm, f"vision_model.encoder.{block}"])
    assert alone[norm].part == "decoder"
    assert weights([norm, f"text_model.encoder.{block}"])[norm].part == "encoder"
    both = weights([norm, f"text_model.encoder.{block}", f"text_model.decoder.{block}"])
    assert both[norm].part == "decoder"


def test_prunable_kinds_are_those_of_prunable_weights():
    assert set(PRUNABLE_KINDS) < set(KINDS)
    for kind in KINDS:
        assert Weight("any", "decoder", 0, kind).prunable == (kind in PRUNABLE_KINDS)


BERT_BASE = {}
BERT_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
SEQ2SEQ_LARGE = {
    "d_model": 1024,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
    "max_position_embeddings": 1024,
}
PEGASUS_LARGE = {**SEQ2SEQ_LARGE, "vocab_size": 96103, "encoder_layers": 16, "decoder_layers": 16}
M2M100_418M = {**SEQ2SEQ_LARGE, "vocab_size": 128112, "encoder_layers": 12, "decoder_layers": 12}
T5_V1_1_XL = {
    "vocab_size": 32128,
    "d_model": 2048,
    "d_kv": 64,
    "d_ff": 5120,
    "num_layers": 24,
    "num_heads": 32,
    "feed_forward_proj": "gated-gelu",
}
DEBERTA_V2_XXLARGE = {
    "vocab_size": 128100,
    "hidden_size": 1536,
    "num_hidden_layers": 48,
    "num_attention_heads": 24,
    "intermediate_size": 6144,
    "max_position_embeddings": 512,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "conv_kernel_size": 3,
    "conv_act": "gelu",
    "layer_norm_eps": 1e-7,
    "position_biased_input": False,
    "type_vocab_size": 0,
}


@pytest.mark.parametrize(
    ("class_name", "of_config", "published"),
    [
        ("BertModel", BERT_BASE, 109_482_240),
        ("BertForPreTraining", BERT_BASE, 110_106_428),
        ("BertModel", BERT_LARGE, 335_141_888),
        ("GPT2LMHeadModel", {}, 124_439_808),
        ("GPT2LMHeadModel", {"n_embd": 1600, "n_layer": 48, "n_head": 25}, 1_557_611_200),
        ("PegasusForConditionalGeneration", PEGASUS_LARGE, 570_797_056),
        ("M2M100ForConditionalGeneration", M2M100_418M, 483_905_536),
        ("DebertaV2Model", DEBERTA_V2_XXLARGE, 1_564_549_632),
        ("DebertaV2ForMaskedLM", DEBERTA_V2_XXLARGE, 1_567_041_636),
        ("T5ForConditionalGeneration", T5_V1_1_XL, 2_783_959_040),
    ],
)
def test_counts_are_those_published(class_name, of_config, published):
    model = model_of(class_name, of_config)
    state = state_of(model)
    assert untied_size(state, named_by(state)) == published
    assert sum(p.numel() for p in model.parameters()) == published


def test_a_checkpoint_with_a_head_counts_as_its_base_model_where_the_head_is_left_out():
    state = state_of(model_of("BertForPreTraining", BERT_BASE))
    assert size_without_head(state, named_by(state)) == 109_482_240


def test_causal_masks_in_a_checkpoint_of_gpt2_are_not_counted():
    state = state_of(model_of("GPT2LMHeadModel", {}))
    for i in range(12):
        state[f"transformer.h.{i}.attn.bias"] = torch.empty(1, 1, 1024, 1024, device="meta")
        state[f"transformer.h.{i}.attn.masked_bias"] = torch.empty((), device="meta")
    assert untied_size(state, named_by(state)) == 124_439_808


def test_a_head_that_stands_apart_in_the_checkpoint_is_counted():
    state = state_of(model_of("T5ForConditionalGeneration", T5_V1_1_XL))
    state["lm_head.weight"] = torch.empty_like(state["shared.weight"])
    named = named_by(state)
    assert untied_size(state, named) == 2_849_757_184
    assert size_without_head(state, named) == 2_783_959_040


@pytest.mark.parametrize(
    ("names", "tied"),
    [
        (["wte.weight", "lm_head.weight"], {"lm_head.weight": "wte.weight"}),
        (
            ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"],
            {
                "decoder.embed_tokens.weight": "encoder.embed_tokens.weight",
                "lm_head.weight": "encoder.embed_tokens.weight",
            },
        ),
        (
            ["model.decoder.embed_tokens.weight", "lm_head.weight", "model.shared.weight"],
            {
                "model.decoder.embed_tokens.weight": "model.shared.weight",
                "lm_head.weight": "model.shared.weight",
            },
        ),
        (
            ["gpt_neox.embed_in.weight", "embed_out.weight"],
            {"embed_out.weight": "gpt_neox.embed_in.weight"},
        ),
        (
            ["biogpt.embed_tokens.weight", "output_projection.weight"],
            {"output_projection.weight": "biogpt.embed_tokens.weight"},
        ),
        (
            ["lm_head.bias", "lm_head.decoder.bias", "lm_head.dense.bias"],
            {"lm_head.decoder.bias": "lm_head.bias"},
        ),
    ],
)
def test_of_equal_tensors_the_embedding_is_counted_and_the_head_is_tied(names, tied):
    named = weights(names, same=lambda one, other: True)
    assert {name: what.tied_to for name, what in named.items() if what.tied_to} == tied


def test_tensors_that_no_architecture_ties_are_never_compared(case):
    """However alike two blocks' norms are, each of them counts."""
    model, _, _ = case
    asked = set()

    def note(one, other):
        asked.update((one, other))
        return True

    named = weights(state_of(model), same=note)
    for name in asked:
        assert named[name].layer is None
        assert named[name].part in ("embedding", "head")


def test_without_a_comparison_nothing_is_tied_and_all_is_counted(case):
    model, _, _ = case
    assert not any(what.tied_to for what in weights(state_of(model)).values())


def test_a_tied_tensor_is_never_prunable():
    name = "h.0.mlp.c_fc.weight"
    assert weight(name).prunable
    assert not Weight(name, "decoder", 0, "ffn in", tied_to="h.1.mlp.c_fc.weight").prunable


def test_old_names_are_todays_names_by_what_they_are_and_stored_names_by_key():
    for old, todays in (("gamma", "weight"), ("beta", "bias")):
        for norm in ("bert.embeddings.LayerNorm", "encoder.layer.3.attention.output.LayerNorm"):
            named = weights([f"{norm}.{old}"])
            assert named == {f"{norm}.{old}": weight(f"{norm}.{todays}")}
            assert named[f"{norm}.{old}"].name == f"{norm}.{todays}"


@pytest.mark.parametrize(
    ("name", "part", "layer", "kind"),
    [
        ("encoder.layer.11.attention.self.key.weight", "encoder", 11, "attention key"),
        ("encoder.layer.0.attention.output.dense.weight", "encoder", 0, "attention output"),
        ("encoder.layer.0.intermediate.dense.weight", "encoder", 0, "ffn in"),
        ("encoder.layer.0.output.dense.weight", "encoder", 0, "ffn out"),
        ("embeddings.token_type_embeddings.weight", "embedding", None, "token embedding"),
        ("embeddings.LayerNorm.weight", "embedding", None, "norm"),
        ("pooler.dense.weight", "encoder", None, "head"),
        ("pooler.dense.bias", "encoder", None, "bias"),
        ("cls.predictions.transform.LayerNorm.weight", "head", None, "norm"),
        ("cls.predictions.bias", "head", None, "bias"),
        ("mask_predictions.classifier.weight", "head", None, "head"),
        ("encoder.rel_embeddings.weight", "embedding", None, "position"),
        ("encoder.LayerNorm.weight", "encoder", None, "norm"),
        ("encoder.ln.weight", "encoder", None, "norm"),
        ("encoder.conv.conv.weight", "encoder", None, "convolution"),
        ("encoder.layer.0.attention.self.pos_key_proj.weight", "encoder", 0, "position"),
        ("transformer.layer.5.attention.q_lin.weight", "encoder", 5, "attention query"),
        ("h.3.attn.c_attn.weight", "decoder", 3, "attention query-key-value"),
        ("h.3.attn.c_proj.weight", "decoder", 3, "attention output"),
        ("h.3.attn.c_attn.bias", "decoder", 3, "bias"),
        ("h.3.crossattention.c_attn.weight", "decoder", 3, "cross-attention value"),
        ("h.3.crossattention.q_attn.weight", "decoder", 3, "cross-attention query"),
        ("h.3.mlp.c_fc.weight", "decoder", 3, "ffn in"),
        ("h.3.mlp.c_proj.weight", "decoder", 3, "ffn out"),
        ("h.3.ln_1.weight", "decoder", 3, "norm"),
        ("ln_f.weight", "decoder", None, "norm"),
        ("wpe.weight", "embedding", None, "position"),
        ("score.weight", "head", None, "head"),
        ("decoder.layers.1.encoder_attn.q_proj.weight", "decoder", 1, "cross-attention query"),
        ("decoder.layers.1.encoder_attn.out_proj.weight", "decoder", 1, "cross-attention output"),
        ("decoder.layers.1.encoder_attn_layer_norm.weight", "decoder", 1, "norm"),
        ("encoder.embed_positions.weight", "embedding", None, "position"),
        ("decoder.embed_positions.weight", "embedding", None, "position"),
        ("encoder.layernorm_embedding.weight", "embedding", None, "norm"),
        ("encoder.layer_norm.weight", "encoder", None, "norm"),
        ("word_embeddings_layernorm.weight", "embedding", None, "norm"),
        ("classification_head.out_proj.weight", "head", None, "head"),
        ("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", "encoder", 0, "ffn gate"),
        ("encoder.block.0.layer.1.DenseReluDense.wi_1.weight", "encoder", 0, "ffn in"),
        ("encoder.block.0.layer.1.DenseReluDense.wi.weight", "encoder", 0, "ffn in"),
        ("decoder.block.7.layer.1.EncDecAttention.o.weight", "decoder", 7,
         "cross-attention output"),
        ("decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "decoder", 0,
         "position"),
        ("decoder.final_layer_norm.weight", "decoder", None, "norm"),
        ("layers.31.mlp.gate_proj.weight", "decoder", 31, "ffn gate"),
        ("layers.31.mlp.up_proj.weight", "decoder", 31, "ffn in"),
        ("layers.31.mlp.down_proj.weight", "decoder", 31, "ffn out"),
        ("layers.31.self_attn.q_norm.weight", "decoder", 31, "norm"),
        ("layers.0.block_sparse_moe.experts.7.w1.weight", "decoder", 0, "ffn gate"),
        ("layers.0.block_sparse_moe.experts.7.w2.weight", "decoder", 0, "ffn out"),
        ("layers.0.block_sparse_moe.experts.7.w3.weight", "decoder", 0, "ffn in"),
        ("layers.0.block_sparse_moe.gate.weight", "decoder", 0, "head"),
        ("decoder.bert.encoder.layer.0.output.dense.weight", "decoder", 0, "ffn out"),
        ("decoderless.encoder.layer.0.output.dense.weight", "encoder", 0, "ffn out"),
        ("norm.weight", "decoder", None, "norm"),
        ("encoder.layers.0.mixer.Wqkv.weight", "encoder", 0, "attention query-key-value"),
        ("encoder.layers.0.mixer.Wqkv.bias", "encoder", 0, "bias"),
        ("backbone.layers.0.mixer.q_proj.weight", "decoder", 0, "attention query"),
        ("encoder.block.1.layer.1.mlp.experts.expert_3.wi.weight", "encoder", 1, "ffn in"),
        ("decoder.block.1.layer.2.mlp.experts.expert_11.wo.weight", "decoder", 1, "ffn out"),
        ("decoder.block.1.layer.2.mlp.router.classifier.weight", "decoder", 1, "head"),
        ("model.encoder.layers.3.ffn.experts.expert_127.fc1.weight", "encoder", 3, "ffn in"),
        ("model.encoder.layers.3.ffn.experts.expert_127.fc2.bias", "encoder", 3, "bias"),
        ("model.encoder.layers.3.ffn.router.classifier.weight", "encoder", 3, "head"),
        ("model.decoder.layers.3.cross_attention.k_proj.weight", "decoder", 3,
         "cross-attention key"),
        ("model.layers.0.self_attn.q_a_proj.weight", "decoder", 0, "attention query"),
        ("model.layers.0.self_attn.q_b_proj.weight", "decoder", 0, "attention query"),
        ("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", "decoder", 0,
         "attention query-key-value"),
        ("model.layers.0.self_attn.kv_b_proj.weight", "decoder", 0, "attention query-key-value"),
        ("model.layers.0.self_attn.kv_a_layernorm.weight", "decoder", 0, "norm"),
        ("model.layer_norm.weight", "decoder", None, "norm"),
        ("biogpt.layer_norm.bias", "decoder", None, "norm"),
        ("output_projection.weight", "head", None, "head"),
        ("vit.encoder.layer.0.attention.attention.query.weight", "encoder", 0, "attention query"),
        ("vit.encoder.layer.0.layernorm_before.weight", "encoder", 0, "norm"),
        ("text_model.encoder.layers.0.layer_norm1.weight", "encoder", 0, "norm"),
    ],
)  # fmt: skip
def test_tensors_are_called_by_the_fields_words(name, part, layer, kind):
    assert weight(name) == Weight(name, part, layer, kind)


@pytest.mark.parametrize(
    "name",
    [
        "h.0.attn.bias",
        "h.0.attn.masked_bias",
        "h.0.attn.attention.bias",
        "h.0.crossattention.bias",
        "gpt_neox.layers.0.attention.bias",
        "gpt_neox.layers.0.attention.masked_bias",
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq",
        "bert.embeddings.position_ids",
        "embeddings.token_type_ids",
        "final_logits_bias",
        "model.encoder.embed_positions.weights",
        "model.decoder.version",
        "model.layers.0.self_attn.q_proj.SCB",
        "model.layers.0.self_attn.q_proj.weight_format",
        "model.layers.0.self_attn.q_proj.weight_scale",
        "model.layers.0.self_attn.q_proj.weight_scale_inv",
        "model.layers.0.self_attn.q_proj.input_scale",
        "model.layers.0.self_attn.q_proj.weight_zero_point",
        "model.layers.0.self_attn.q_proj.weight.absmax",
        "model.layers.0.self_attn.q_proj.weight.nested_absmax",
        "model.layers.0.self_attn.q_proj.weight.quant_map",
        "model.layers.0.self_attn.q_proj.weight.quant_state.bitsandbytes__nf4",
    ],
)
def test_what_is_saved_beside_the_parameters_is_left_out(name):
    assert is_buffer(name)
    assert weights([name]) == {}


@pytest.mark.parametrize(
    "name",
    [
        "conv1.weight",
        "h.0.attn.rotations.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "model.layers.0.self_attn.sinks",
        "encoder.layer.0.weird.bias",
        "vision.patch_embed.proj.weight",
        "foo.LayerNorm.gamma",
        "backbone.layers.0.mixer.in_proj.weight",
        "backbone.layers.0.mixer.in_proj.bias",
        "backbone.layers.0.mixer.out_proj.weight",
        "feature_projection.layer_norm.weight",
        "",
    ],
)
def test_a_name_that_no_rule_knows_is_said_to_be_not_understood(name):
    what = weight(name)
    assert not what.understood
    assert (what.part, what.layer, what.kind, what.prunable) == ("other", None, name, False)
    assert weights([name]).keys() == {name}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], None),
        (["conv1.weight", "word_embeddings.weight", "lm_head.weight"], None),
        (["encoder.layer.0.output.dense.weight", "cls.predictions.bias"], "encoder-only"),
        (["model.decoder.layers.0.fc1.weight"], "decoder-only"),
        (["encoder.layers.0.fc1.weight", "decoder.layers.0.fc1.weight"], "encoder-decoder"),
    ],
)
def test_the_family_is_known_where_layers_are(names, expected):
    assert family(weights(names).values()) == expected


PIECES = st.sampled_from([
    "encoder", "decoder", "layer", "layers", "h", "block", "0", "7", "99999999", "attention",
    "self", "attn", "mlp", "experts", "query", "q_proj", "c_attn", "dense", "output", "LayerNorm",
    "ln_f", "norm", "gamma", "beta", "weight", "bias", "embed_tokens", "shared", "lm_head", "cls",
    "predictions", "pooler", "conv", "bert", "model",
])  # fmt: skip
NAMES = st.text(max_size=30) | st.lists(PIECES, max_size=9).map(".".join)


@given(NAMES)
def test_any_name_is_understood_or_said_not_to_be(name):
    what = weight(name)
    assert what.part in PARTS
    if what.understood:
        assert what.kind in KINDS
    else:
        assert (what.layer, what.kind) == (None, name)
    assert not (what.prunable and what.layer is None)


@given(st.lists(NAMES), st.booleans())
def test_names_come_sorted_and_once_and_tied_to_one_that_counts(names, same):
    named = weights(names, same=lambda one, other: same)
    assert list(named) == sorted({name for name in names if not is_buffer(name)})
    for name, what in named.items():
        if what.tied_to is not None:
            assert same
            assert what.tied_to != name
            assert named[what.tied_to].tied_to is None
    assert family(named.values()) in (None, "encoder-only", "decoder-only", "encoder-decoder")
