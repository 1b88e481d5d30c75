"""Linear layers with weights of eight bits: dynamic quantisation, on the CPU.

Each output channel has a scale of its own: its weights are whole numbers from -127 to 127 times
that scale, and zero is zero (the symmetric quantiser of Krishnamoorthi 2018, arXiv 1806.08342).
Activations are quantised as they come, to seven bits, each token by a scale of its own (as in
ZeroQuant, arXiv 2206.01861): what is answered beside a text, and how it is padded, changes nothing.
Embeddings, norms, biases, and a head tied to an embedding stay as
they are.

In the file a matrix stands under its own name as int8, laid out as before, and its scales [out] in
float32 under that name and `_scale`.
"""

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.ao.nn.quantized import dynamic
from transformers.pytorch_utils import Conv1D

from analysis.checkpoints.naming import Weight
from analysis.checkpoints.weights import require_finite
from analysis.engine.arrays import Array
from analysis.errors import RequestError
from analysis.models.filling import name_in

CPU_ONLY = True
LARGEST = 127  # of the codes; -128 is left out, so that they are symmetric
_INPUTS = 63  # of an input's codes, likewise
_TINY = torch.finfo(torch.float32).tiny
SCALE = "_scale"  # behind a weight's name
_AXES = "output_axis"  # of the facts: by the matrix's name, which of its axes is out
_AGAIN = "quantise the model again"


def quantisable(named: Mapping[str, Weight], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The names of the matrices to quantise: the prunable ones, and heads tied to nothing."""
    # without one, a file has the matrix over the vocabulary under the name of the head tied to it
    embedded = any(what.kind == "token embedding" for what in named.values())
    return [
        name
        for name, what in named.items()
        if len(shapes[name]) == 2
        and (
            what.prunable
            or (embedded and what.kind == "head" and what.layer is None and what.tied_to is None)
        )
    ]


def quantise(
    weights: Mapping[str, Array], names: Collection[str], by_input: Collection[str]
) -> tuple[dict[str, Array], dict[str, Any]]:
    """A checkpoint's tensors with the matrices of these names as int8 and scales, and the facts.

    `by_input` names the matrices that are stored [in, out].

    The scale of an output channel w is max|w| / 127, and its codes are w / scale rounded to the
    nearest, halves to even, so that no weight is off by more than half a scale. A channel of zeros
    (or of numbers so small that float32 has no scale for them) has scale 1 and codes 0.

    Raises RunError if one of them holds NaN or infinity.
    """
    tensors, axes = dict(weights), {}
    require_finite(tensors, names)
    for name in names:
        axes[name] = 1 if name in by_input else 0
        rows = np.moveaxis(tensors[name], axes[name], 0).astype(np.float64)
        scales = (np.abs(rows).max(axis=1, initial=0) / LARGEST).astype(np.float32)
        scales[scales < np.finfo(np.float32).tiny] = 1
        codes = np.clip(np.rint(rows / scales[:, None]), -LARGEST, LARGEST).astype(np.int8)
        tensors[name] = np.ascontiguousarray(np.moveaxis(codes, 0, axes[name]))
        tensors[name + SCALE] = scales
    return tensors, {_AXES: axes}


def plain(tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> dict[str, Array]:
    """The float32 weights that the codes stand for, and all other tensors as they are.

    Raises RequestError if tensors and facts do not fit each other.
    """
    axes = _checked(tensors, facts)
    scales = {name + SCALE for name in axes}
    weights = {n: array for n, array in tensors.items() if n not in axes and n not in scales}
    for name, axis in axes.items():
        factors = np.expand_dims(tensors[name + SCALE], 1 - axis)
        weights[name] = tensors[name].astype(np.float32) * factors
    return weights


def attach(model: torch.nn.Module, tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
    """Put a quantised layer, with these very codes and scales, in the place of each linear one.

    Raises RequestError if tensors and facts do not fit each other or the model.
    """
    state = model.state_dict()
    for stored, axis in _checked(tensors, facts).items():
        name = name_in(model, state, stored)
        if name is None:
            continue  # a head that this form of the model does not have
        path, _, own = name.rpartition(".")
        module: Any = model.get_submodule(path)
        if own != "weight" or type(module) not in (torch.nn.Linear, Conv1D):
            raise RequestError(f"{stored} is int8, and no linear layer of this model; {_AGAIN}")
        if axis != int(isinstance(module, Conv1D)):
            raise RequestError(
                f"{stored} has its outputs along axis {axis} by the facts, and along the other in"
                f" this model; {_AGAIN}"
            )
        codes = np.ascontiguousarray(np.moveaxis(tensors[stored], axis, 0))
        model.set_submodule(path, _linear(codes, tensors[stored + SCALE], module.bias))


class PerToken(dynamic.Linear):
    """x Wᵀ + b of weights in eight bits and inputs in seven, for each token by its own scale.

    The bias is added in float32, to sums that are exact whatever kernel the processor has for them:
    products of eight and of seven bits fit each of them.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        out, inputs = weight.shape
        super().__init__(inputs, out, bias_=False)
        self.set_weight_bias(weight, None)
        self.offset = None if bias is None else nn.Buffer(bias.detach().float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, out) float32 of inputs (…, in)."""
        rows = x.reshape(-1, x.shape[-1])
        scales = (rows.abs().amax(1, keepdim=True) / _INPUTS).clamp_(min=_TINY)
        sums = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows / scales, 1.0, _INPUTS + 1, self._packed_params._packed_params
        )
        sums = sums.mul_(scales)
        y: torch.Tensor = sums if self.offset is None else sums.add_(self.offset)
        return y.reshape(*x.shape[:-1], -1)


def _linear(codes: Array, scales: Array, bias: torch.Tensor | None) -> torch.nn.Module:
    """The layer of codes [out, in] and scales [out]."""
    out = len(codes)
    with _deprecated():
        weight = torch._make_per_channel_quantized_tensor(
            torch.from_numpy(codes),
            torch.from_numpy(scales),
            torch.zeros(out, dtype=torch.int64),
            0,
        )
        return PerToken(weight, bias)


@contextmanager
def _deprecated() -> Iterator[None]:
    """torch warns that its quantised tensors will go; the version that still has them is pinned."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"torch\.quantize_per_tensor.*are deprecated", UserWarning
        )
        yield


def _checked(tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> dict[str, int]:
    """The axis of the outputs of each int8 matrix, by name; all tensors are as they are to be."""
    axes = facts.get(_AXES)
    if not isinstance(axes, dict) or any(
        type(a) is not int or a not in (0, 1) for a in axes.values()
    ):
        raise RequestError(f"the facts need `{_AXES}`: by a matrix's name 0 or 1; {_AGAIN}")
    for name, axis in axes.items():
        codes, scales = tensors.get(name), tensors.get(name + SCALE)
        if codes is None or codes.dtype != np.int8 or codes.ndim != 2:
            raise RequestError(
                f"{name} is int8 by the facts, and no such matrix is there; {_AGAIN}"
            )
        if scales is None or scales.dtype != np.float32 or scales.shape != (codes.shape[axis],):
            raise RequestError(
                f"{name}{SCALE} has to hold {codes.shape[axis]} float32 scales, and does not;"
                f" {_AGAIN}"
            )
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise RequestError(f"{name}{SCALE} holds what is no scale above 0; {_AGAIN}")
    for name, array in tensors.items():
        if array.dtype == np.int8 and name not in axes:
            raise RequestError(f"{name} is int8, and the facts do not name it; {_AGAIN}")
    return axes
