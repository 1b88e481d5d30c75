"""Quantised models: the linear layers of a checkpoint in eight bits."""

import time
from pathlib import Path
from typing import Any

from analysis.alternatives.kinds import int8
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.digests import content_sha256
from analysis.checkpoints.opened import opened
from analysis.checkpoints.weights import FILE, write_in_place_of
from analysis.engine.objects import Objects
from analysis.errors import RequestError
from analysis.models.alternative import ALTERNATIVE, write_alternative

KIND = "int8"


def quantise_checkpoint(
    objects: Objects, *, checkpoint: str, weights_sha256: str
) -> dict[str, Any]:
    """Record of the checkpoint (an object's digest) with its linear layers in eight bits.

    `weights_sha256` is the key's; the record's is that of the new tensors. `parameters` are the
    model's, as many as before, and `quantised_weights` those of them that are in eight bits.
    """
    folder = objects.open(checkpoint)
    with objects.scratch() as scratch:
        out = scratch / "checkpoint"
        facts = _quantise(folder, out)
        return facts | {"checkpoint": {"object": objects.adopt(out)}}


def _quantise(folder: Path, out: Path) -> dict[str, Any]:
    """Write the quantised model of a folder to `out`; what is to be said of it."""
    if (folder / ALTERNATIVE).exists():
        raise RequestError(f"{folder} holds an alternative already; quantise the model it is of")
    start = time.perf_counter()
    with opened(folder) as model:
        names = int8.quantisable(model.named, model.shapes)
        tensors, facts = int8.quantise(model.tensors, names, model.by_input)
        sizes = model.sizes
    seconds = time.perf_counter() - start
    write_in_place_of(folder, out, tensors)
    write_alternative(out, KIND, facts)
    return {
        "weights_sha256": content_sha256(open_checkpoint(out)),
        "parameters": sum(sizes.values()),
        "quantised_weights": sum(sizes[name] for name in names),
        "bytes": (out / FILE).stat().st_size,
        "seconds": round(seconds, 4),
    }
