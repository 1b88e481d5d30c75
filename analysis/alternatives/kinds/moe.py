"""Feed-forward layers of which each token runs few neurons: MoEfication.

Zhang et al. 2022 (arXiv 2110.01786): the neurons of a trained layer V act(W x + b) + c are put into
n equal experts that are active together, and for each token a router chooses the k that are run.
No weight changes, so with k = n the model is the one it was made from.

Experts stand contiguously in the file: expert e of n has neurons [e·N/n, (e+1)·N/n). Beside the
weights there is, for each block, `….router.weight` (experts, in) and `….router.bias` (experts,).
ALTERNATIVE says

    experts   n, which divides every layer's neurons
    run       k, from 1 to n
    router    "learned": by the routers in the file
              "oracle": all is computed, and the k experts of the largest mass are kept; this bounds
              what a router can do, and has no routers. Its time means nothing
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from analysis.alternatives.feedforward import feed_forwards, require_divisor, require_run
from analysis.alternatives.routers import Router, choice, masses
from analysis.calibration.matrices import Matrix, matrices
from analysis.checkpoints import naming
from analysis.engine.arrays import Array
from analysis.errors import RequestError, unknown

KIND = "moe"
CPU_ONLY = False
LEARNED, ORACLE = ROUTERS = ("learned", "oracle")

_ROUTER = re.compile(r"(?P<block>.+)\.router\.(?P<of>weight|bias)")


def router_tensors(into: str, router: Router) -> dict[str, Array]:
    """The tensors of a router by the names that they are stored under.

    into   the stored name of the matrix W of its layer
    """
    block = naming.block_of(into)
    return {
        f"{block}.router.weight": router.weight.cpu().numpy(),
        f"{block}.router.bias": router.bias.cpu().numpy(),
    }


def plain(tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> dict[str, Array]:
    """The weights that the architecture knows: all but the routers."""
    return {name: array for name, array in tensors.items() if not _ROUTER.fullmatch(name)}


def attach(model: nn.Module, tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
    """Put experts in the place of the feed-forward layers of a model that has the plain weights.

    Raises RequestError if facts or routers are none of this model's.
    """
    model = cast(PreTrainedModel, model)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    layers = feed_forwards(shapes, model.config.to_dict())
    experts: Any = facts.get("experts")
    run: Any = facts.get("run")
    require_divisor(experts, layers)
    require_run(run, experts)
    if facts.get("router") not in ROUTERS:
        raise RequestError(unknown("router", facts.get("router"), ROUTERS))
    learned = facts["router"] == LEARNED
    routers = _routers(tensors) if learned else {}
    if learned and routers.keys() != layers.keys():
        odd = sorted(routers.keys() ^ layers.keys())
        raise RequestError(f"the file's routers are not those of the model's layers: {odd[0]}")
    for key, layer in layers.items():
        into, out = matrices(model, [layer.into, layer.out])
        if learned:
            wanted = (experts, into.outputs_first.shape[1])
            routing = Routing(_checked(key, routers[key], wanted), run).to(
                into.outputs_first.device
            )
            _replace(model, into.module, ExpertsIn(into, routing, experts))
            _replace(model, out.module, ExpertsOut(out, routing, experts))
        else:
            _replace(model, out.module, OracleOut(out, experts, run))


class Routing(nn.Module):
    """Chooses each token's experts, and keeps the choice from a layer's first matrix to its second.

    spans   (expert, start, stop): which of the pairs of a token and an expert are this expert's;
            experts that no token chose are not there
    token   (pairs,): the token of each
    """

    def __init__(self, router: Router, run: int):
        super().__init__()
        self.weight = _fixed(router.weight)
        self.bias = _fixed(router.bias)
        self.run = run
        self.tokens = 0
        self.spans: list[tuple[int, int, int]] = []
        self.token: Tensor = torch.empty(0, dtype=torch.long)

    def choose(self, x: Tensor) -> None:
        """Choose for each of these inputs (tokens, in)."""
        scores = nn.functional.linear(x, self.weight, self.bias)
        chosen = scores.topk(self.run, dim=1, sorted=False).indices
        self.tokens = len(x)
        if len(x) == 1:  # nothing to sort, and this is where each operation tells
            self.spans = [(e, i, i + 1) for i, e in enumerate(chosen[0].tolist())]
            return
        expert, order = chosen.reshape(-1).sort(stable=True)
        self.token = order // self.run
        counts = torch.bincount(expert, minlength=scores.shape[1]).tolist()
        stops = np.cumsum(counts).tolist()
        every = [(e, stops[e] - n, stops[e]) for e, n in enumerate(counts) if n]
        self.spans = every or [(0, 0, 0)]

    def gather(self, x: Tensor) -> Tensor:
        """What enters each pair: (pairs, in) of inputs (tokens, in)."""
        return x.expand(self.run, -1) if self.tokens == 1 else x.index_select(0, self.token)

    def add_up(self, parts: Tensor) -> Tensor:
        """The sum over each token's pairs: (tokens, out) of (pairs, out)."""
        if self.tokens == 1:
            return parts.sum(dim=0, keepdim=True)
        return parts.new_zeros(self.tokens, parts.shape[1]).index_add_(0, self.token, parts)


class ExpertsIn(nn.Module):
    """In the place of W: computes the neurons of the chosen experts only.

    What it returns is as wide as `run` experts. Its numbers stand pair by pair, in the order of
    `Routing.spans`: between the two matrices there are but activations and dropout, which take each
    number by itself, so neurons that are not run need no place.
    """

    def __init__(self, matrix: Matrix, routing: Routing, experts: int):
        super().__init__()
        self.weight = _fixed(matrix.outputs_first.unflatten(0, (experts, -1)))  # [n, size, in]
        bias = _bias(matrix)
        self.bias = None if bias is None else _fixed(bias.unflatten(0, (experts, -1)))
        self.routing = routing

    def forward(self, x: Tensor) -> Tensor:
        """(…, run · size) of inputs (…, in)."""
        rows = x.reshape(-1, x.shape[-1])
        self.routing.choose(rows)
        entering = self.routing.gather(rows)
        weights = self.weight.unbind()
        biases = [None] * len(weights) if self.bias is None else self.bias.unbind()
        parts = [
            nn.functional.linear(entering[start:stop], weights[e], biases[e])
            for e, start, stop in self.routing.spans
        ]
        return torch.cat(parts).reshape(*x.shape[:-1], self.routing.run * self.weight.shape[1])


class ExpertsOut(nn.Module):
    """In the place of V: adds up what the neurons that were computed contribute."""

    def __init__(self, matrix: Matrix, routing: Routing, experts: int):
        super().__init__()
        self.weight = _fixed(matrix.outputs_first.T.unflatten(0, (experts, -1)))  # [n, size, out]
        bias = _bias(matrix)
        self.bias = None if bias is None else _fixed(bias)
        self.routing = routing

    def forward(self, h: Tensor) -> Tensor:
        """(…, out) of what ExpertsIn returned, (…, run · size), once activated."""
        rows = h.reshape(-1, self.weight.shape[1])
        weights = self.weight.unbind()
        parts = [rows[start:stop] @ weights[e] for e, start, stop in self.routing.spans]
        y = self.routing.add_up(torch.cat(parts))
        y = y if self.bias is None else y + self.bias
        return y.reshape(*h.shape[:-1], self.weight.shape[2])


class OracleOut(nn.Module):
    """In the place of V: keeps the experts of the largest mass at each token."""

    def __init__(self, matrix: Matrix, experts: int, run: int):
        super().__init__()
        self.linear = matrix.module
        self.norms = nn.Buffer(matrix.outputs_first.norm(dim=0))
        self.experts, self.run = experts, run

    @property
    def weight(self) -> Tensor:
        """That of the whole matrix, as stored; T5 asks for its type."""
        return self.linear.get_parameter("weight")

    def forward(self, h: Tensor) -> Tensor:
        """(…, out) of activations (…, neurons)."""
        kept = choice(masses(h, self.norms, self.experts), self.run)
        grouped = h.unflatten(-1, (self.experts, -1)) * kept.unsqueeze(-1)
        y: Tensor = self.linear(grouped.flatten(-2))
        return y


def _routers(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The tensors of routers, "weight" and "bias", by their layers' keys."""
    found: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        if match := _ROUTER.fullmatch(name):
            what = naming.weight(f"{match['block']}.router.weight")
            found.setdefault(f"{what.part}.{what.layer}.ffn", {})[match["of"]] = array
    return found


def _checked(key: str, parts: Mapping[str, Array], shape: tuple[int, int]) -> Router:
    """The router of these tensors. Raises RequestError if they are not of its layer."""
    shapes = {of: array.shape for of, array in parts.items()}
    if shapes != {"weight": shape, "bias": shape[:1]}:
        raise RequestError(
            f"the router of {key} has tensors {shapes}, and the model takes a weight {shape} and a"
            f" bias {shape[:1]}; make that model again"
        )
    if not all(np.isfinite(array).all() for array in parts.values()):
        raise RequestError(f"the router of {key} is not finite; make that model again")
    return Router(torch.from_numpy(parts["weight"]), torch.from_numpy(parts["bias"]))


def _bias(matrix: Matrix) -> Tensor | None:
    return dict(matrix.module.named_parameters()).get("bias")


def _fixed(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().contiguous(), requires_grad=False)


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    path = next(path for path, module in model.named_modules() if module is old)
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new.train(old.training))
