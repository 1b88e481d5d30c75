"""How much memory a training takes, known before it begins."""

from typing import Any

_BYTES_PER_PARAMETER = 16  # weight, gradient and AdamW's two moments, each in float32
_HELD_BESIDES = 2.25  # activations held at the peak, over those that a backward pass needs
_COPIES_OF_LOGITS = 6  # the same for each token's prediction: shifted, its softmax, its gradients


def training_bytes(
    parameters: int,
    batch: tuple[int, int],
    *,
    layers: int,
    width: int,
    heads: int,
    vocabulary: int = 0,
    bytes_each: int = 4,
) -> int:
    """About how many bytes it takes to fine-tune a model, in float32 weights and by AdamW.

    16 for each parameter, and the activations kept for the backward pass: of each layer
    tokens x width x (34 + 5 heads x tokens / width) where numbers have two bytes (Korthikanti et
    al., Reducing Activation Recomputation in Large Transformer Models, 2022, equation 1), and
    what torch holds besides: with that it is within a tenth of peaks measured of BERT and GPT-2 on
    a CPU. `batch` is how many texts, and tokens of each; `layers` are those of all stacks;
    `vocabulary` counts where each token's is predicted.
    """
    tokens = batch[1]
    read = batch[0] * tokens
    activations = layers * read * (34 * width + 5 * heads * tokens) * bytes_each / 2
    predicted = _COPIES_OF_LOGITS * read * vocabulary * 4  # in float32 whatever else is not
    return _BYTES_PER_PARAMETER * parameters + round(_HELD_BESIDES * activations) + predicted


def training_bytes_of(
    config: Any,
    parameters: int,
    *,
    form: str,
    batch_size: int,
    tokens: int,
    bytes_each: int = 4,
) -> int:
    """`training_bytes` of the model that a configuration of transformers describes."""
    decoder = getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", 0)
    stacks = decoder if getattr(config, "is_encoder_decoder", False) else 0
    return training_bytes(
        parameters,
        (batch_size, tokens),
        layers=config.num_hidden_layers + (stacks or 0),
        width=config.hidden_size,
        heads=config.num_attention_heads,
        vocabulary=0 if form == "classification" else config.vocab_size,
        bytes_each=bytes_each,
    )
