"""What each layer, or kind of matrix, bears: pruned alone, the rest of the model dense."""

import time
from collections.abc import Mapping
from typing import Any, Literal

import torch

from analysis.checkpoints.naming import Weight
from analysis.engine.objects import Objects
from analysis.engine.progress import track
from analysis.models.loading import load_model, put
from analysis.pruning.methods import magnitude_layer
from analysis.pruning.prunable import prunable, scope_of
from analysis.pruning.scope import Scope
from analysis.pruning.selection import select
from analysis.scoring.metrics import score
from analysis.scoring.predict import predict, prepare
from analysis.steps.examples.stored import read_examples
from analysis.steps.place import Place
from analysis.tasks import task


def measure_sensitivity(
    objects: Objects,
    *,
    checkpoint: str,
    task_name: str,
    data: str,
    by: str,
    sparsities: list[float],
    batch_size: int | Literal["auto"],
    place: dict[str, Any],
    memory_bytes: int,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Record: the dense model's scores on these examples, and for each group of matrices and each
    sparsity the scores with the smallest |w| of each matrix of that group removed.

    place is as of `Place`; settings are the fields of the task that its data decide.

    by   "layer": the matrices of one block are a group; "kind": those that do the same
    """
    where, described = Place(**place), task(task_name, settings)
    torch.set_num_threads(where.threads)
    examples = read_examples(objects, data)
    folder = objects.open(checkpoint)
    with scope_of(folder, prunable) as opened:
        named, weights = opened.named, opened.read(seed=0).weights
    groups = grouped(named, by)
    model, tokenizer = load_model(folder, described.form, where.device)
    inputs = prepare(model, tokenizer, described, examples, batch_size, memory_bytes)

    def scores() -> dict[str, Any]:
        predictions = predict(model, tokenizer, described, inputs)
        return score(described.metrics, predictions, inputs.expected, described.tokenizers)

    start = time.perf_counter()
    dense, listed = scores(), []
    cells = [(group, sparsity) for group in groups for sparsity in sparsities]
    for group, sparsity in track(cells, "layers pruned alone"):
        own = {name: weights[name] for name in groups[group]}
        (selection,) = select(magnitude_layer, Scope(own), [sparsity])
        put(model, selection.masks, {})
        about = {"group": group, "sparsity": sparsity, **_about(named[next(iter(own))], by)}
        sizes = {name: array.size for name, array in own.items()}
        listed.append(about | {"tensors": sizes, "metrics": scores()})
        put(model, {}, own)
    return {
        "dense": dense,
        "cells": listed,
        "examples": len(examples),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _about(first: Weight, by: str) -> dict[str, Any]:
    """What a group is, by its first matrix."""
    layer, kind = (first.layer, "") if by == "layer" else (None, first.kind)
    return {"part": first.part, "layer": layer, "kind": kind}


def grouped(named: Mapping[str, Weight], by: str) -> dict[str, list[str]]:
    """The prunable matrices by block ("encoder 3") or by kind within a part ("encoder ffn in")."""
    groups: dict[str, list[str]] = {}
    for name, what in named.items():
        if what.prunable:
            key = f"{what.part} {what.layer if by == 'layer' else what.kind}"
            groups.setdefault(key, []).append(name)
    return groups
