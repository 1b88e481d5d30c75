"""Which matrices a checkpoint stores as [in, out], where all others are [out, in].

Those are transformers' Conv1D: GPT-2's, and those of the architectures made after it. The config
tells, not the shape of a matrix: a feed-forward layer need not be wider than the model, and a
smaller model's is not. Where a model is loaded, its modules tell (`calibration.matrices`). Of some
mixtures the experts lie in one tensor [experts, in, out].
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from analysis.checkpoints import naming

# the types of transformers' models that have it; a test asks transformers for them
CONV1D = frozenset(
    ("clvp", "clvp_decoder", "decision_transformer", "gpt2", "imagegpt", "openai-gpt")
)
# those whose experts lie in one tensor [experts, in, out]; those of others are [experts, out, in]
EXPERTS_BY_INPUT = frozenset(
    ("aria", "aria_text", "gpt_oss", "llama4", "llama4_text", "openai_privacy_filter")
)
_EXPERTS = re.compile(r"(?:.*\.)?experts\.(?:gate_up|down)_proj")
_DEPTH = 8  # of models in models
_CONV1D_MATRIX = re.compile(
    r"(?:.*\.)?(?:attn|crossattention|mlp)\.(?:c_attn|q_attn|c_proj|c_fc)\.weight"
)


def stored_by_input(
    shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> frozenset[str]:
    """The names of the matrices that are stored [in, out], given the parsed config.json.

    Linear layers of other types have the same names (GPT-Neo's `c_fc`). Of a model of several, such
    as an encoder-decoder, the part that a tensor is in decides.
    """
    experts = not EXPERTS_BY_INPUT.isdisjoint(_types(config))
    return frozenset(
        name
        for name, shape in shapes.items()
        if (_CONV1D_MATRIX.fullmatch(name) and _is_conv1d(name, shapes, config))
        or (experts and len(shape) == 3 and _EXPERTS.fullmatch(name))
    )


def _is_conv1d(name: str, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> bool:
    part = config
    for word in name.split("."):
        inner = part.get(word, part.get(f"{word}_config"))
        if isinstance(inner, Mapping) and "model_type" in inner:
            part = inner
    if not CONV1D.isdisjoint(_types(part)):
        return True
    # a type of somebody's own code: what makes queries, keys and values has the more outputs
    fused = shapes.get(f"{naming.block_of(name)}.attn.c_attn.weight", ())
    return len(fused) == 2 and fused[1] > fused[0]


def _types(config: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """The types of a model and of those in it."""
    if isinstance(kind := config.get("model_type"), str):
        yield kind
    for inner in config.values() if depth < _DEPTH else ():
        if isinstance(inner, Mapping):
            yield from _types(inner, depth + 1)
