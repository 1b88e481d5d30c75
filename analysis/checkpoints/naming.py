"""What a checkpoint's tensor is called: its part, layer and kind, from the stored name alone.

A name is read in three steps. What is saved beside the parameters is set aside (`is_buffer`).
Otherwise the list of blocks decides: `encoder.layer.3.` and the like give part and layer, and what
stands behind the number gives the kind. Outside the blocks one table gives part and kind. What
stands before either (`bert.`, `model.`, `module.`) never matters, beyond the words encoder and
decoder. A name that no rule knows is said to be not understood, never guessed at. Where the words
are missing, blocks are taken for a decoder's; `weights`, which sees all of the checkpoint, takes
that back where the rest contradicts it: those of a model of images, say.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

PARTS = ("embedding", "encoder", "decoder", "head", "other")
KINDS = (
    "attention query",
    "attention key",
    "attention value",
    "attention query-key-value",
    "attention output",
    "attention gate",
    "cross-attention query",
    "cross-attention key",
    "cross-attention value",
    "cross-attention output",
    "ffn in",
    "ffn gate",
    "ffn out",
    "bottleneck",
    "norm",
    "bias",
    "position",
    "token embedding",
    "convolution",
    "head",
)
PRUNABLE_KINDS = KINDS[: KINDS.index("norm")]  # the linear layers' weight matrices


@dataclass(frozen=True)
class Weight:
    """One tensor of a checkpoint, in the field's words.

    name      as today's transformers spells it: `LayerNorm.weight` where old files say `.gamma`
    part      one of PARTS; the pooler is the encoder's, as it is saved with the base model
    layer     number of the transformer block within its part, or None outside the blocks
    kind      one of KINDS, or the stored name where that is not understood
    tied_to   stored name of the tensor whose values this one repeats and where they count
    """

    name: str
    part: str
    layer: int | None
    kind: str
    tied_to: str | None = None

    @property
    def understood(self) -> bool:
        """Whether a rule knows the name; if not, part is "other" and layer None."""
        return self.part != "other"

    @property
    def prunable(self) -> bool:
        """Whether this is a weight matrix of a linear layer inside a block, counted here."""
        return self.layer is not None and self.kind in PRUNABLE_KINDS and self.tied_to is None


# causal masks, position ids and tables, a constant of BART's; scales and codes of quantised files
_BUFFER = re.compile(
    r"(?:.*\.)?(?:"
    r"(?:attn|(?:cross)?attention)\.(?:masked_bias|bias|causal_mask)"
    r"|position_ids|token_type_ids|final_logits_bias|(?:encoder|decoder)\.version"
    r"|(?:original_)?inv_freq|cos_cached|sin_cached|embed_positions\.(?:weights|_float_tensor)"
    r"|e_score_correction_bias|running_mean|running_var|num_batches_tracked"
    r"|SCB|weight_format|(?:nested_)?(?:absmax|quant_map)|quant_state(?:\..*)?"
    r"|(?:weight|input|output|activation|[kqv])_scale(?:_inv)?|(?:\w+_)?zero_point"
    r"|qzeros|scales|(?:\w+_)?g_idx"
    # I-BERT's, Apertus', MiniMax's
    r"|(?:weight|bias)_integer|(?:fc|act|weight)_scaling_factor|x_m(?:in|ax)|LayerNorm\.shift"
    r"|act_fn\.(?:beta|eps)|slope_rate|(?:query|key|diagonal)_decay"
    r")"
)

_LIST_OF_BLOCKS = re.compile(
    r"(?P<before>(?:[^.]+\.)*?)(?P<list>layers?|blocks?|h|albert_layer_groups)"
    r"\.(?P<number>[0-9]{1,6})(?P<within>\.[0-9]{1,6})?"  # Funnel's blocks are lists of layers
    r"\.(?:(?:layer|albert_layers)\.[0-9]+\.)?(?P<own>.+)"
)
_MODERNBERT = re.compile(r"(?:attn|mlp)(?:\.W|_norm\.).*")  # encoder blocks in a bare `layers.`
_NORM = (
    r"(?:\w*(?:[Ll]ayer_?[Nn]orm(?:[0-9]|_before|_after)?|_norm)|ln(?:_\w+)?|norm(?:_?[0-9]|_f)?)"
    r"\.(?:weight|bias)"
)
_SELF = (
    r"(?:attention|attention\.(?:self|attention|attn|self_attention)|self_attention"
    r"|(?:Local|TransientGlobal)?SelfAttention"
    r"|self_attn|self_attn\.(?:[0-9]+|self|longformer_self_attn|output_projection)"
    r"|attn|attn\.attention|self_att\.self_attention|norm_attn_norm\.attn|linear_attn"
    # what mixes tokens without attention (Mamba's mixer, of in_proj and out_proj) is none
    r"|(?:mixer|temporal_block)(?=\.(?:Wqkv|[qkvo]_proj)\.))\."
)
_CROSS = (
    r"(?:crossattention|crossattention\.self|cross_attention|cross_attn|EncDecAttention"
    r"|encoder_attn)\."
)
_FFN = (
    r"(?:(?:mlp|mlps\.[0-9]+|ffn|ffn\.ffn|ffn\.[0-9]+|feed_forward|block_sparse_moe|mlp_block"
    r"|DenseReluDense|mixer(?=\.(?:up|down)_proj\.))\.)?"
    r"(?:(?:experts\.(?:expert_)?[0-9]+|shared_experts?|shared_mlp)\.)?"
)
# of tokens with global attention (Longformer's), of words and entities (LUKE's), of a page (LiLT's)
_QUERY = (
    r"(?:q|q_proj|q_lin|q_head|query|query_global|(?:w2e|e2w|e2e|layout)_query|query_proj"
    r"|query_key|project_q)\.weight"
)
_KEY = r"(?:k|k_proj|k_lin|k_head|key|key_global|layout_key|key_proj|project_k)\.weight"
_VALUE = r"(?:v|v_proj|v_lin|v_head|value|value_global|layout_value|value_proj|project_v)\.weight"
_FUSED = r"(?:c_attn|query_key_value|qkv_proj|qkv_linear|Wqkv|in_proj|in_proj_qkvz?)\.weight"
_OUTPUT = (
    r"(?:o|o_proj|o_[ab]_proj|out_proj|out_lin|post_proj|dense|output|(?:layout_)?output\.dense"
    r"|c_proj|Wo|attention_out)\.weight"
)
# what an attention's output is multiplied by, one number for each of its channels
_GATE = r"(?:gate_proj|q_gate_proj|g_proj|output_gate|in_proj_z|receptance)\.weight"

# what stands behind the block's number; the first rule that matches all of it decides
_IN_BLOCK = [
    (rf"(?:[^.]+\.)*{_NORM}", "norm"),
    (r".*\b(?:relative_attention_bias|relative_pos_embeddings)\.weight", "position"),
    (rf"{_SELF}pos_(?:key_proj|query_proj|proj|q_proj)\.weight", "position"),  # DeBERTa's
    (rf"{_SELF}{_QUERY}", "attention query"),
    (rf"{_SELF}{_KEY}", "attention key"),
    (rf"{_SELF}{_VALUE}", "attention value"),
    (rf"{_SELF}{_FUSED}", "attention query-key-value"),
    # DeepSeek's latent attention: queries, and keys and values in one, each by way of fewer numbers
    (rf"{_SELF}q_[ab]_proj\.weight", "attention query"),
    (rf"{_SELF}(?:kv_a_proj_with_mqa|kv_b_proj|kv_proj)\.weight", "attention query-key-value"),
    (rf"{_SELF}{_OUTPUT}", "attention output"),
    (rf"{_SELF}{_GATE}", "attention gate"),
    (rf"{_SELF}experts\.input_linear\.weight", "attention query"),  # JetMoE's, each its own
    (rf"{_SELF}experts\.output_linear\.weight", "attention output"),
    # SqueezeBERT's convolutions of one token are linear layers
    (r"post_attention\.conv1d\.weight", "attention output"),
    (r"intermediate\.conv1d\.weight", "ffn in"),
    (r"output\.conv1d\.weight", "ffn out"),
    # convolutions beside attention: ConvBERT's, with the layers that make their kernels and inputs
    (rf"{_SELF}(?:key_conv_attn_layer\.(?:depthwise|pointwise)|conv_kernel_layer|conv_out_layer"
     r"|conv|conv1d)\.weight", "convolution"),
    (rf"{_SELF}[qv]_bias", "bias"),  # of DeBERTa's fused in_proj
    (rf"{_CROSS}(?:{_QUERY}|q_attn\.weight)", "cross-attention query"),
    (rf"{_CROSS}{_KEY}", "cross-attention key"),
    # GPT-2's c_attn holds keys and values side by side; counted once, with the values
    (rf"{_CROSS}(?:{_VALUE}|c_attn\.weight)", "cross-attention value"),
    (rf"{_CROSS}{_OUTPUT}", "cross-attention output"),
    # a router is a small classifier over the experts: no matrix to prune
    (r"(?:[^.]+\.)?(?:gate|gate\.wg|router|router\.(?:classifier|gate|layer)|router_gate"
     r"|shared_expert_gate)\.weight", "head"),
    (r"(?:[^.]+\.)?experts\.gate_up_proj", "ffn in"),  # all experts in one tensor
    (r"(?:[^.]+\.)?experts\.down_proj", "ffn out"),
    (r"(?:[^.]+\.)?experts\.(?:gate_up|down)_proj_bias", "bias"),
    # MobileBERT's, before and behind a block that is narrower than what goes through the blocks
    (r"(?:bottleneck\.(?:input|attention)|output\.bottleneck)\.dense\.weight", "bottleneck"),
    (rf"{_FFN}(?:gate_proj|wi_0|w1|w_in\.w_0|fc12)\.weight", "ffn gate"),
    (rf"{_FFN}(?:(?:layout_)?intermediate\.dense|fc11?|fc_in|c_fc|lin1|linear_1|dense_h_to_4h"
     r"|up_proj|gate_up_proj|up_gate_proj|wi|wi_1|w3|w_in\.w_1|Wi|ffn|input_linear)\.weight",
     "ffn in"),
    (rf"{_FFN}(?:(?:layout_)?output\.dense|fc2|fc_out|c_proj|lin2|linear_2|dense_4h_to_h"
     r"|down_proj|wo|w2|w_out|Wo|ffn_output|output_linear)\.weight", "ffn out"),
    # ProphetNet's, Reformer's and RWKV's
    (r"feed_forward\.(?:intermediate|dense\.dense|key)\.weight", "ffn in"),
    (r"feed_forward\.receptance\.weight", "ffn gate"),
    (r"feed_forward\.(?:output|value)\.weight", "ffn out"),
]  # fmt: skip

_HEADS = (
    r"(?:cls|lm_head|classifier|score|qa_outputs|\w*predictions|classification_head|sop_classifier"
    r"|vocab_projector|vocab_transform|vocab_layer_norm|pre_classifier|generator_lm_head"
    r"|multiple_choice_head|sequence_summary|embed_out|head)\."
)
_STACK = "stack"  # stands for the part that the words before it name: encoder, or else decoder
# outside the blocks; the first rule that matches all of the name decides
_OUTSIDE = [
    (rf"(?:[^.]+\.)*{_HEADS}(?:[^.]+\.)*{_NORM}", "head", "norm"),
    (r"(?:.*\.)?vocab_layer_norm\.(?:weight|bias)", "head", "norm"),
    (rf"(?:.*\.)?(?:{_HEADS}(?:.*\.)?|decoder\.)bias", "head", "bias"),
    (rf"(?:.*\.)?(?:{_HEADS}(?:.*\.)?|decoder\.|output_projection\.)weight", "head", "head"),
    (r"(?:.*\.)?(?:word_embeddings|token_type_embeddings|tok_embeddings|embed_tokens|shared|wte"
     r"|embed_in|tokens_embed)\.weight", "embedding", "token embedding"),
    (r"(?:.*\.)?(?:project_in|project_out|embeddings_project|embed_proj"
     r"|embedding_hidden_mapping_in)\.weight", "embedding", "token embedding"),
    (r"(?:.*\.)?(?:embeddings_project|embedding_hidden_mapping_in)\.bias", "embedding", "bias"),
    (r"(?:.*\.)?(?:position_embeddings|embed_positions|positions_embed|wpe|rel_embeddings)"
     r"\.weight", "embedding", "position"),
    (r"(?:.*\.)?(?:embeddings\.(?:LayerNorm|norm)|layernorm_embedding|word_embeddings_layernorm)"
     r"\.(?:weight|bias)", "embedding", "norm"),
    (r"(?:.*\.)?pooler\.(?:dense\.)?weight", "encoder", "head"),
    (r"(?:.*\.)?pooler\.(?:dense\.)?bias", "encoder", "bias"),
    (r"(?:.*\.)?encoder\.conv\.conv\.weight", "encoder", "convolution"),  # DeBERTa-v2's
    (r"(?:.*\.)?encoder\.conv\.conv\.bias", "encoder", "bias"),
    (r"(?:.*\.)?encoder\.conv\.LayerNorm\.(?:weight|bias)", "encoder", "norm"),
    (r"(?:.*\.)?(?:encoder|decoder)\.(?:LayerNorm|layer_norm|ln)\.(?:weight|bias)",
     _STACK, "norm"),
    (r"(?:.*\.)?final_norm\.(?:weight|bias)", "encoder", "norm"),  # ModernBERT's
    # XGLM's and BioGPT's; behind other words it may be anyone's (`feature_projection.layer_norm`)
    (r"(?:(?:module|base_model|model|biogpt)\.)*layer_norm\.(?:weight|bias)", _STACK, "norm"),
    (r"(?:.*\.)?(?:ln_f|norm|norm_f|final_layer_?norm)\.(?:weight|bias)", _STACK, "norm"),
]  # fmt: skip

# matrices over the vocabulary that architectures tie, those that keep the values first
_TIED = [
    r"(?:.*\.)?shared\.weight",
    r"(?!(?:.*\.)?decoder\.)(?:.*\.)?(?:word_embeddings|tok_embeddings|wte|embed_in)\.weight",
    r"(?!(?:.*\.)?decoder\.)(?:.*\.)?embed_tokens\.weight",
    r"(?:.*\.)?decoder\.(?:.*\.)?(?:word_embeddings|wte|embed_tokens)\.weight",
    r"(?:.*\.)?(?:lm_head|vocab_projector|generator_lm_head|embed_out|decoder|output_projection)"
    r"\.weight",
]
_TIED_BIAS = re.compile(r"(?P<head>(?:.*\.)?(?:lm_head|\w*predictions))\.decoder\.bias")

# turns pieces of an image into tokens; what stands before it is the model of images
_OF_IMAGES = re.compile(r"(?P<model>(?:[^.]+\.)*?)(?:embeddings\.)?patch_(?:embed\w*|conv)\..+")

_IN_BLOCK_RULES = [(re.compile(rule), kind) for rule, kind in _IN_BLOCK]
_OUTSIDE_RULES = [(re.compile(rule), part, kind) for rule, part, kind in _OUTSIDE]
_TIED_RULES = [re.compile(rule) for rule in _TIED]


def _never(one: str, other: str) -> bool:
    return False


def is_buffer(name: str) -> bool:
    """Whether the tensor is saved beside the parameters without being one."""
    return _BUFFER.fullmatch(name) is not None


def weight(name: str) -> Weight:
    """What the tensor of this stored name is."""
    todays = re.sub(r"\bLayerNorm\.gamma\Z", "LayerNorm.weight", name)
    todays = re.sub(r"\bLayerNorm\.beta\Z", "LayerNorm.bias", todays)
    block = _LIST_OF_BLOCKS.fullmatch(todays)
    if block:
        kind = _kind_in_block(block["own"])
        if kind:
            return Weight(todays, _part_of_block(block), int(block["number"]), kind)
    else:
        for rule, part, kind in _OUTSIDE_RULES:
            if rule.fullmatch(todays):
                return Weight(todays, _stack(todays) if part == _STACK else part, None, kind)
    return Weight(todays, "other", None, name)


def block_of(name: str) -> str | None:
    """The path of the block that a tensor of this stored name is in; None outside the blocks."""
    block = _LIST_OF_BLOCKS.fullmatch(name)
    if block is None:
        return None
    return f"{block['before']}{block['list']}.{block['number']}{block['within'] or ''}"


def _kind_in_block(own: str) -> str | None:
    for rule, kind in _IN_BLOCK_RULES:
        if rule.fullmatch(own):
            return kind
    if own.endswith(".bias"):  # understood where its matrix is
        return "bias" if _kind_in_block(own.removesuffix("bias") + "weight") else None
    return None


def _part_of_block(block: re.Match[str]) -> str:
    """Encoder or decoder; without either word, a singular `layer` is an encoder's (DistilBERT)."""
    alone = block["list"] == "layer" or (
        block["list"] == "layers" and _MODERNBERT.fullmatch(block["own"])
    )
    return _stack(block["before"], otherwise="encoder" if alone else "decoder")


def _stack(path: str, otherwise: str = "decoder") -> str:
    """The stack that the path names; decoder goes first: `decoder.bert.encoder.layer.0`."""
    words = path.split(".")
    return next((part for part in ("decoder", "encoder") if part in words), otherwise)


def weights(names: Iterable[str], same: Callable[[str, str], bool] = _never) -> dict[str, Weight]:
    """What each parameter of a checkpoint is, by stored name, sorted; buffers are left out.

    `same(a, b)` says whether two stored tensors, of whatever shapes, hold the same values. It is
    asked only for pairs that architectures tie; where it says yes, the head or the copy is tied.
    """
    named = {name: weight(name) for name in sorted(set(names)) if not is_buffer(name)}
    named.update(_no_decoders(named))
    for name, source in _ties(named, same):
        named[name] = replace(named[name], tied_to=source)
    return named


def _no_decoders(named: dict[str, Weight]) -> dict[str, Weight]:
    """What is called a decoder's for want of a word for it, and the whole checkpoint shows is none.

    Beside the embedding of image patches it is not understood. Outside the blocks it is the
    encoder's where all blocks are, as in CLIP's `text_model.`.
    """
    of_images = tuple(what["model"] for what in map(_OF_IMAGES.fullmatch, named) if what)
    better = {}
    for name, what in named.items():
        if what.part != "decoder" or "decoder" in name.split("."):
            continue
        before = "".join(f"{word}." for word in name.split(".")[:-2])
        if name.startswith(of_images):
            better[name] = Weight(what.name, "other", None, name)
        elif what.layer is None and _parts_of_blocks(named, before) == {"encoder"}:
            better[name] = replace(what, part="encoder")
    return better


def _parts_of_blocks(named: dict[str, Weight], before: str) -> set[str]:
    """The parts of the blocks of a model, all whose names begin so."""
    blocks = (what for name, what in named.items() if name.startswith(before))
    return {what.part for what in blocks if what.layer is not None}


def _ties(names: Iterable[str], same: Callable[[str, str], bool]) -> Iterable[tuple[str, str]]:
    """Each tensor that repeats another, with the one that it repeats, which repeats none."""
    names = list(names)
    sources: list[str] = []
    for rule in _TIED_RULES:
        untied = []
        for name in filter(rule.fullmatch, names):
            source = next((source for source in sources if same(name, source)), None)
            if source is None:
                untied.append(name)
            else:
                yield name, source
        sources += untied
    for name in names:
        bias = _TIED_BIAS.fullmatch(name)
        if bias and f"{bias['head']}.bias" in names and same(name, f"{bias['head']}.bias"):
            yield name, f"{bias['head']}.bias"


def family(named: Iterable[Weight]) -> str | None:
    """The family that the parts with layers show; None where no layer is known."""
    parts = {what.part for what in named if what.layer is not None}
    if parts == {"encoder", "decoder"}:
        return "encoder-decoder"
    return f"{parts.pop()}-only" if parts else None
