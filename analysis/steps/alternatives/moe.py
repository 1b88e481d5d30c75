"""Models whose feed-forward layers are experts, of which each token runs some."""

import time
from pathlib import Path
from typing import Any

import torch

from analysis.alternatives.feedforward import (
    FeedForward,
    feed_forwards,
    require_divisor,
    require_run,
)
from analysis.alternatives.kinds.moe import KIND, LEARNED, ROUTERS, router_tensors
from analysis.alternatives.learning import Experts, learn, reordered
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.digests import content_sha256
from analysis.checkpoints.weights import write_in_place_of
from analysis.engine.arrays import Array
from analysis.engine.machine import peak_here
from analysis.engine.objects import Objects
from analysis.errors import RequestError
from analysis.models.alternative import ALTERNATIVE, write_alternative
from analysis.models.units import KEPT
from analysis.pruning.prunable import prunable, scope_of
from analysis.steps.pruning.calibrated import calibration, texts_of

Layers = dict[str, FeedForward]


def moefy_checkpoint(
    objects: Objects,
    *,
    checkpoint: str,
    weights_sha256: str,
    task: str,
    training: str | None,
    experts: int,
    run: list[int],
    examples: int,
    tokens: int,
    seed: int,
    threads: int,
    device: str,
) -> dict[str, Any]:
    """Record: for each number of experts that are run, the model with learned routers and with
    an oracle's choice; `weights_sha256` is the key's.

    run_share      share of the feed-forward weights that a token runs
    router_share   routers' weights, as a share of the same
    hit            share of the oracle's choices that the router makes on examples (every fourth)
                   that neither experts nor routers were made from, in the dense model
    train_seconds  for the experts and routers, which serve all levels
    """
    torch.set_num_threads(threads)
    folder = objects.open(checkpoint)
    if odd := next((name for name in (ALTERNATIVE, KEPT) if (folder / name).exists()), None):
        raise RequestError(f"the checkpoint has a {odd}: only whole, dense models get experts")
    with scope_of(folder, prunable) as dense:
        weights, parameters = dict(dense.opened.tensors), sum(dense.opened.sizes.values())
        layers = feed_forwards(dense.opened.shapes, dense.opened.config)
    require_divisor(experts, layers)
    if not run:
        raise RequestError(f"no number of experts to run: give some, of 1 to {experts}")
    for k in run:
        require_run(k, experts)
    loaded = calibration(folder, texts_of(objects, task, training, examples, tokens, seed), device)

    def make() -> list[dict[str, Any]]:
        start = time.perf_counter()
        made = learn(layers, loaded, experts, seed)
        spent = {
            "train_seconds": round(time.perf_counter() - start, 4),
            "calibrated_on": made.calibrated_on,
        }
        return [
            _level(weights, parameters, layers, made, folder, scratch / f"{k}-{router}", k, router)
            | spent
            for k in run
            for router in ROUTERS
        ]

    with objects.scratch() as scratch:
        found, peak = peak_here(make)
        for level in found:
            name = f"{level['run']}-{level['router']}"
            level["checkpoint"] = {"object": objects.adopt(scratch / name)}
    return {"levels": found, "peak_bytes": peak}


def _level(
    weights: dict[str, Array],
    parameters: int,
    layers: Layers,
    made: Experts,
    folder: Path,
    out: Path,
    run: int,
    router: str,
) -> dict[str, Any]:
    """Write one model to `out`; returns its facts."""
    routers: dict[str, Array] = {}
    if router == LEARNED:
        for key, layer in layers.items():
            routers |= router_tensors(layer.into, made.routers[key])
    tensors = reordered(weights, layers, made.orders) | routers
    write_in_place_of(folder, out, tensors)
    write_alternative(out, KIND, {"experts": made.count, "run": run, "router": router})
    whole = sum(weights[n].size for layer in layers.values() for n in (layer.into, layer.out))
    return {
        "run": run,
        "experts": made.count,
        "router": router,
        "weights_sha256": content_sha256(open_checkpoint(out)),
        "parameters": parameters + sum(array.size for array in routers.values()),
        "run_share": run / made.count,
        "router_share": sum(array.size for array in routers.values()) / whole,
        "hit": made.hit(run) if router == LEARNED else 1.0,
    }
