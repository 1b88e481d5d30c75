"""Dropout whose draws are each text's own, so that parts of a batch lose what the whole would.

torch draws for a whole batch at once. Gone through in parts, as memory demands, the same batch
would lose other activations, and how much memory there is would be a seed of its own.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class OwnDraws(TorchFunctionMode):
    """Within it, what is dropped of row i of a batch is drawn with seed i.

    Tensors whose first axis is not that of the rows are dropped as torch does, by its own draws.
    Attention with dropout is computed as its definition says, as torch does on a CPU.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device):
        super().__init__()
        self._draws = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._own = {
            functional.dropout: self._dropout,
            functional.scaled_dot_product_attention: self._attention,
        }

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return self._own.get(function, function)(*args, **(kwargs or {}))

    def _dropout(
        self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or not 0 < p < 1 or len(input) != len(self._draws):
            return functional.dropout(input, p, training, inplace)
        kept = [torch.empty_like(input[0]).bernoulli_(1 - p, generator=g) for g in self._draws]
        return input * torch.stack(kept).div_(1 - p)

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if dropout_p == 0:
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = (each.repeat_interleave(groups, -3) for each in (key, value))
        scores = query @ key.transpose(-2, -1) * (scale or 1 / math.sqrt(query.shape[-1]))
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return self._dropout(scores.softmax(-1), dropout_p) @ value
