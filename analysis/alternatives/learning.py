"""Finds a model's experts and their routers from calibration batches."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from analysis.alternatives.activations import held_out, observe
from analysis.alternatives.experts import Indices, contiguous, split
from analysis.alternatives.feedforward import FeedForward
from analysis.alternatives.routers import Router, fit, hits, masses
from analysis.calibration.matrices import matrices
from analysis.engine.arrays import Array
from analysis.models.encoding import Batch
from analysis.pruning.calibrated import Calibration

Layers = Mapping[str, FeedForward]
Orders = dict[str, Indices]
Pairs = dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Experts:
    """What was learned of each layer, by key.

    count    of experts in each layer
    orders   of neurons, experts contiguous: (neurons,) of indices
    held     scores by the router and masses, each (tokens, experts), of held-out tokens
    calibrated_on  what they were learned from (`calibration.batches.facts`), held out or not
    """

    count: int
    orders: Orders
    routers: dict[str, Router]
    held: Pairs
    calibrated_on: Mapping[str, Any] = field(default_factory=dict)

    def hit(self, run: int) -> float:
        """The share of the oracle's choices that the routers make on held-out tokens."""
        made = sum(hits(scores, mass, run) for scores, mass in self.held.values())
        return made / sum(len(mass) * run for _, mass in self.held.values())


def learn(layers: Layers, loaded: Calibration, experts: int, seed: int) -> Experts:
    """Experts and routers for these layers; every fourth calibration example is held out.

    Both see the dense model: what skipping neurons changes in later layers' inputs, they do not.
    Raises RequestError if there are too few examples; RunError if activations are not finite.
    """
    model = loaded.load()
    batches = loaded.batches(model)
    given, rest = held_out(batches)
    orders = {
        key: contiguous(split(products.cpu().numpy(), experts, seed))
        for key, products in _coactivations(model, layers, given).items()
    }
    seen = _masses(model, layers, given, orders, experts)
    routers = {key: fit(x, mass) for key, (x, mass) in seen.items()}
    unseen = _masses(model, layers, rest, orders, experts)
    held = {key: (routers[key].scores(x), mass) for key, (x, mass) in unseen.items()}
    return Experts(experts, orders, routers, held, loaded.facts(batches))


def reordered(
    weights: Mapping[str, Array], layers: Layers, orders: Mapping[str, Indices]
) -> dict[str, Array]:
    """All tensors of the same model, with the neurons of each layer in that order."""
    tensors = dict(weights)
    for key, layer in layers.items():
        for cut in layer.group.cuts:
            tensor = weights[cut.name]
            at = layer.group.positions(cut, tensor.shape[cut.axis], orders[key].tolist())
            tensors[cut.name] = np.ascontiguousarray(np.take(tensor, at, cut.axis))
    return tensors


def _coactivations(
    model: PreTrainedModel, layers: Layers, batches: Iterable[Batch]
) -> dict[str, Tensor]:
    """Σ |h_i| |h_j| over the tokens: (neurons, neurons) float64 of each layer."""
    products: dict[str, Tensor] = {}

    def add(key: str, _: Tensor, h: Tensor) -> None:
        size = h.abs().double()
        product = size.T @ size
        products[key] = products[key] + product if key in products else product

    observe(model, batches, layers, add)
    return products


def _masses(
    model: PreTrainedModel,
    layers: Layers,
    batches: Iterable[Batch],
    orders: Orders,
    experts: int,
) -> Pairs:
    """Inputs (tokens, in) and the masses of experts (tokens, experts) of each layer."""
    outs = {key: matrices(model, [layer.out])[0].outputs_first for key, layer in layers.items()}
    norms = {key: out.norm(dim=0)[orders[key]] for key, out in outs.items()}
    rows: dict[str, list[tuple[Tensor, Tensor]]] = {key: [] for key in layers}

    def keep(key: str, x: Tensor, h: Tensor) -> None:
        rows[key].append((x, masses(h[:, orders[key]], norms[key], experts)))

    observe(model, batches, layers, keep)
    return {
        key: (torch.cat([x for x, _ in pairs]), torch.cat([mass for _, mass in pairs]))
        for key, pairs in rows.items()
    }
