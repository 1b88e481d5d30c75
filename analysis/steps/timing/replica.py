"""Latency at true size: a model of a published shape with random weights, pruned to some levels.

How long a model takes depends on how many weights are zero, and a little on where, not on what the
others are: so the times stand for the published model, each of its matrices pruned as far.
"""

import copy
import functools
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertModel

from analysis.checkpoints import naming
from analysis.engine.progress import track
from analysis.errors import RequestError, unknown
from analysis.execution.choice import always
from analysis.execution.convert import linear_bytes, sparsify
from analysis.execution.names import DENSE, TILED_CSR, TORCH_CSR
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.steps.place import Place
from analysis.steps.timing.variants import facts, in_ms

_CONFIGS = {"bert-base": BertConfig}  # the defaults are the published shape
_BATCH, _TOKENS = 1, 128


def measure_replica(
    objects: object,
    *,
    architecture: str,
    sparsities: list[float],
    schedule: dict[str, Any],
    threads: int,
    seed: int,
) -> dict[str, Any]:
    """Record: for each sparsity and kernel the raw samples in ms of a forward pass of one text of
    128 tokens, on the CPU, and the bytes of the linear layers as they run.

    A kernel that can do nothing at a sparsity has no cell there. Raises RequestError if there is no
    such architecture.
    """
    if architecture not in _CONFIGS:
        raise RequestError(unknown("architecture", architecture, _CONFIGS))
    torch.set_num_threads(threads)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(_CONFIGS[architecture]()).eval()
    ids = torch.randint(0, 1000, (_BATCH, _TOKENS), generator=torch.Generator().manual_seed(seed))
    cells = []
    for sparsity in track(sorted(sparsities), "measuring at true size"):
        _prune(model, sparsity)  # what a lower level removed is removed at a higher one
        sparse = {kernel: _converted(model, kernel) for kernel in (TORCH_CSR, TILED_CSR)}
        models = {DENSE: model} | {k: made for k, made in sparse.items() if made is not None}
        runs = {kernel: functools.partial(_run, m, ids) for kernel, m in models.items()}
        for kernel, seconds in interleaved_samples(runs, Schedule(**schedule)).items():
            cells.append(
                {
                    "sparsity": sparsity,
                    "kernel": kernel,
                    "batch": _BATCH,
                    "linear_bytes": linear_bytes(models[kernel]),
                    "samples_ms": in_ms(seconds),
                }
            )
    return {"architecture": architecture, "cells": cells, **facts(Place(threads, "cpu"), _TOKENS)}


def _prune(model: nn.Module, sparsity: float) -> None:
    """Remove the smallest weights of each prunable matrix."""
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    named = naming.weights(shapes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if named[name].prunable:
                sizes = parameter.abs()
                left = sizes[sizes > 0].numpy()  # finding a rank among equal numbers takes long
                more = round(sparsity * sizes.numel()) - (sizes.numel() - left.size)
                last = np.partition(left, more - 1)[more - 1]
                parameter.masked_fill_(sizes <= last, 0.0)


def _converted(model: nn.Module, kernel: str) -> nn.Module | None:
    """The same model, its weights shared but for what is made sparse; None if nothing is."""
    shared = {id(parameter): parameter for parameter in model.parameters()}
    converted = copy.deepcopy(model, shared)
    return converted if sparsify(converted, always(kernel), [_BATCH * _TOKENS]) else None


def _run(model: nn.Module, ids: torch.Tensor) -> None:
    with torch.inference_mode():
        model(ids)
