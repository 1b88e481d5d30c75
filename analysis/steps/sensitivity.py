"""What each layer, or kind of matrix, bears: pruned alone, the rest of the model dense."""

import time
from collections.abc import Mapping
from typing import Any, Literal

import torch

from analysis.checkpoints.naming import Weight
from analysis.engine.arrays import Mask
from analysis.engine.objects import Objects
from analysis.engine.progress import track
from analysis.models.loading import load_model, put
from analysis.pruning.prunable import prunable, scope_of
from analysis.pruning.rows import keep_largest_by_layer
from analysis.pruning.scope import Scope
from analysis.scoring.metrics import score
from analysis.scoring.predict import predict, prepare
from analysis.steps.examples.stored import read_examples
from analysis.tasks import task


def measure_sensitivity(
    objects: Objects,
    *,
    weights_sha256: str,
    checkpoint: str,
    task_name: str,
    data: str,
    by: str,
    sparsities: list[float],
    batch_size: int | Literal["auto"],
    threads: int,
    device: str,
    memory_bytes: int,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Record: the dense model's scores on these examples, and for each group of matrices and each
    sparsity the scores with the smallest |w| of each matrix of that group removed.

    settings are the fields of the task that its data decide.

    by   "layer": the matrices of one block are a group; "kind": those that do the same
    """
    torch.set_num_threads(threads)
    described = task(task_name, settings)
    examples = read_examples(objects, data)
    folder = objects.open(checkpoint)
    with scope_of(folder, prunable) as opened:
        named, weights = opened.named, opened.read(seed=0).weights
    groups = grouped(named, by)
    model, tokenizer = load_model(folder, described.form, device)
    inputs = prepare(model, tokenizer, described, examples, batch_size, memory_bytes)

    def scores() -> dict[str, Any]:
        predictions = predict(model, tokenizer, described, inputs)
        return score(described.metrics, predictions, inputs.expected, described.tokenizers)

    start = time.perf_counter()
    dense, listed = scores(), []
    cells = [(group, sparsity) for group in groups for sparsity in sparsities]
    for group, sparsity in track(cells, "layers pruned alone"):
        names = groups[group]
        scope = Scope({name: weights[name] for name in names})
        masks: Mapping[str, Mask] = keep_largest_by_layer(scope, sparsity)
        put(model, masks, {})
        first = named[names[0]]
        listed.append(
            {
                "group": group,
                "part": first.part,
                "layer": first.layer if by == "layer" else None,
                "kind": first.kind if by == "kind" else "",
                "tensors": {name: weights[name].size for name in names},
                "sparsity": sparsity,
                "metrics": scores(),
            }
        )
        put(model, {}, {name: weights[name] for name in names})
    return {
        "dense": dense,
        "cells": listed,
        "examples": len(examples),
        "seconds": round(time.perf_counter() - start, 3),
    }


def grouped(named: Mapping[str, Weight], by: str) -> dict[str, list[str]]:
    """The prunable matrices by block ("encoder 3") or by kind within a part ("encoder ffn in")."""
    groups: dict[str, list[str]] = {}
    for name, what in named.items():
        if what.prunable:
            key = f"{what.part} {what.layer if by == 'layer' else what.kind}"
            groups.setdefault(key, []).append(name)
    return groups
