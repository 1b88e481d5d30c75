"""The bytes of a variant in each format."""

from typing import Any

import numpy as np

from analysis.checkpoints.opened import opened
from analysis.checkpoints.tensors import Bytes
from analysis.engine.objects import Objects
from analysis.pruning.masks import Pruned, left_as_stored, read_pruned, require_known
from analysis.storage.counting import counted
from analysis.storage.dtypes import Spec, spec_of


def measure_sizes(
    objects: Objects,
    *,
    weights_sha256: str,
    masks: str | None,
    formats: list[str],
    checkpoint: str,
) -> dict[str, Any]:
    """Record: the bytes of the files that `storage` makes in each format, and the entropy bound.

    Tensors have the types that the checkpoint has them in, and each tied one is there once.
    `weights_sha256` is the key's; `checkpoint` is the object in which the weights lie. A few
    tensors are in memory at a time.
    """
    pruned = Pruned({}) if masks is None else read_pruned(objects.open(masks))
    with opened(objects.open(checkpoint)) as model:
        require_known(model.named, pruned)
        tensors, tied = model.checkpoint.tensors, model.parameters.weights.keys() - model.named

        def tensor(name: str) -> tuple[Spec, Bytes]:
            own = tensors[name]
            raw = np.empty(own.bytes, np.uint8)
            model.reader.read(own, 0, raw)
            return spec_of(own.dtype, own.shape), left_as_stored(own, raw, name, pruned)

        found = counted(tensors.keys() - tied, tensor, formats)
    return {"bytes": found.bytes, "bound_bytes": found.bound_bytes}
