"""Models whose feed-forward layers are experts, of which each token runs some."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from analysis.steps.pruning.calibrated import Look


@dataclass(frozen=True)
class _Dense:
    """The model that experts are made of: its folder, tensors, parameters and layers to cut."""

    folder: Path
    weights: dict[str, Array]
    parameters: int
    layers: dict[str, FeedForward]


def moefy_checkpoint(
    objects: Objects,
    *,
    checkpoint: str,
    weights_sha256: str,
    experts: int,
    run: list[int],
    calibration: dict[str, Any],
) -> dict[str, Any]:
    """Record: for each number of experts that are run, the model with learned routers and with
    an oracle's choice; `calibration` is as of `Look`, `weights_sha256` is the key's.

    run_share      share of the feed-forward weights that a token runs
    router_share   routers' weights, as a share of the same
    hit            share of the oracle's choices that the router makes on examples (every fourth)
                   that neither experts nor routers were made from, in the dense model
    train_seconds  for the experts and routers, which serve all levels
    """
    folder = objects.open(checkpoint)
    if odd := next((name for name in (ALTERNATIVE, KEPT) if (folder / name).exists()), None):
        raise RequestError(f"the checkpoint has a {odd}: only whole, dense models get experts")
    with scope_of(folder, prunable) as model:
        opened = model.opened
        layers = feed_forwards(opened.shapes, opened.config)
        dense = _Dense(folder, dict(opened.tensors), sum(opened.sizes.values()), layers)
    require_divisor(experts, layers)
    if not run:
        raise RequestError(f"no number of experts to run: give some, of 1 to {experts}")
    for k in run:
        require_run(k, experts)
    look = Look(**calibration)
    loaded = look.at(objects, folder)

    def make() -> list[dict[str, Any]]:
        start = time.perf_counter()
        made = learn(layers, loaded, experts, look.seed)
        spent = {
            "train_seconds": round(time.perf_counter() - start, 4),
            "calibrated_on": made.calibrated_on,
        }
        return [
            _level(dense, made, scratch / f"{k}-{router}", k, router) | spent
            for k in run
            for router in ROUTERS
        ]

    with objects.scratch() as scratch:
        found, peak = peak_here(make)
        for level in found:
            name = f"{level['run']}-{level['router']}"
            level["checkpoint"] = {"object": objects.adopt(scratch / name)}
    return {"levels": found, "peak_bytes": peak}


def _level(dense: _Dense, made: Experts, out: Path, run: int, router: str) -> dict[str, Any]:
    """Write one model to `out`; returns its facts."""
    routers: dict[str, Array] = {}
    if router == LEARNED:
        for key, layer in dense.layers.items():
            routers |= router_tensors(layer.into, made.routers[key])
    tensors = reordered(dense.weights, dense.layers, made.orders) | routers
    write_in_place_of(dense.folder, out, tensors)
    write_alternative(out, KIND, {"experts": made.count, "run": run, "router": router})
    whole = sum(
        dense.weights[n].size for layer in dense.layers.values() for n in (layer.into, layer.out)
    )
    return {
        "run": run,
        "experts": made.count,
        "router": router,
        "weights_sha256": content_sha256(open_checkpoint(out)),
        "parameters": dense.parameters + sum(array.size for array in routers.values()),
        "run_share": run / made.count,
        "router_share": sum(array.size for array in routers.values()) / whole,
        "hit": made.hit(run) if router == LEARNED else 1.0,
    }
