"""What a weight is called: the part, layer and kind of each tensor of a checkpoint."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

PARTS = ("embedding", "encoder", "decoder", "head")
KINDS = (
    "attention query",
    "attention key",
    "attention value",
    "attention query-key-value",
    "attention output",
    "cross-attention query",
    "cross-attention key",
    "cross-attention value",
    "cross-attention output",
    "ffn in",
    "ffn out",
    "norm",
    "bias",
    "position",
    "token embedding",
    "head",
)


@dataclass(frozen=True)
class Weight:
    """One tensor of a checkpoint, in the field's words.

    part      one of PARTS
    layer     number of the transformer block within its part, or None outside the blocks
    kind      one of KINDS
    prunable  a weight matrix of a linear layer inside a block: what pruning leaves the
              embeddings, norms, biases and heads out of
    """

    name: str
    part: str
    layer: int | None
    kind: str

    @property
    def prunable(self) -> bool:
        return self.layer is not None and self.kind not in ("norm", "bias", "position")


# the first rule that matches decides; `cross` before plain attention, output before its prefix
_KIND_RULES = [
    (r"(LayerNorm|layer_?norm\w*|ln_\w+|layernorm_embedding)\.(weight|bias)$", "norm"),
    (r"\.bias$", "bias"),
    (r"(position_embeddings|embed_positions|\bwpe)\.weight$", "position"),
    (r"(word_embeddings|token_type_embeddings|embed_tokens|shared|\bwte)\.weight$",
     "token embedding"),
    (r"(encoder_attn|crossattention.*)\.(q_proj|query)\.weight$", "cross-attention query"),
    (r"(encoder_attn|crossattention.*)\.(k_proj|key)\.weight$", "cross-attention key"),
    (r"(encoder_attn|crossattention.*)\.(v_proj|value)\.weight$", "cross-attention value"),
    (r"(encoder_attn\.out_proj|crossattention\.output\.dense)\.weight$", "cross-attention output"),
    (r"(self_attn\.q_proj|attention\.self\.query)\.weight$", "attention query"),
    (r"(self_attn\.k_proj|attention\.self\.key)\.weight$", "attention key"),
    (r"(self_attn\.v_proj|attention\.self\.value)\.weight$", "attention value"),
    (r"\battn\.c_attn\.weight$", "attention query-key-value"),
    (r"(self_attn\.out_proj|attention\.output\.dense|\battn\.c_proj)\.weight$", "attention output"),
    (r"(\bfc1|intermediate\.dense|mlp\.c_fc)\.weight$", "ffn in"),
    (r"(\bfc2|output\.dense|mlp\.c_proj)\.weight$", "ffn out"),
]  # fmt: skip
# saved beside the parameters, but no parameters: causal masks, position ids, a constant of BART's
_BUFFER = re.compile(r"(\battn\.(masked_)?bias|position_ids|final_logits_bias)$")
_LAYER = re.compile(r"\b(?:layers?|h)\.(\d+)\.")


def weight(name: str, family: str) -> Weight:
    """What the tensor `name` of a model of that family is.

    A tensor outside the transformer's blocks and embeddings belongs to the head.
    """
    found = _LAYER.search(name)
    layer = int(found.group(1)) if found else None
    kind = next((kind for rule, kind in _KIND_RULES if re.search(rule, name)), "head")
    return Weight(name, _part(name, family, layer, kind), layer, kind)


def _part(name: str, family: str, layer: int | None, kind: str) -> str:
    if kind == "token embedding":
        return "embedding"
    if layer is None and not re.search(r"embed|\bln_f\b|\bwpe\b|layernorm_embedding", name):
        return "head"
    if family == "encoder-decoder":
        return "decoder" if re.search(r"\bdecoder\.", name) else "encoder"
    if layer is None and re.search(r"embeddings\.|\bwpe\b", name):
        return "embedding"
    return "encoder" if family == "encoder-only" else "decoder"


def weights(names: Iterable[str], family: str) -> dict[str, Weight]:
    """What each parameter of a checkpoint is, by name; buffers are none and left out."""
    return {name: weight(name, family) for name in sorted(names) if not _BUFFER.search(name)}
