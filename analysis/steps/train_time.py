"""Time of a training step: of the dense model, and of a pruned one whose masks are kept."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from analysis.execution.names import DENSE
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.models.loading import resolve_device
from analysis.models.recovery import Keeper
from analysis.objects import Objects
from analysis.pruning.masks import read_pruned
from analysis.steps.timed import Entry, Loader, facts, finished, in_ms, random_inputs


def measure_training(
    objects: Objects,
    *,
    variants: list[dict[str, Any]],
    form: str,
    batch: int,
    tokens: int,
    schedule: dict[str, Any],
    threads: int,
    device: str,
    seed: int,
) -> dict[str, Any]:
    """Record: for each variant the raw samples in ms of one step of training: forward, backward,
    AdamW, and for a pruned variant the keeping of its masks. `variants` are as in `latency`."""
    torch.set_num_threads(threads)
    device = resolve_device(device)
    loader = Loader(objects, form, device)
    runs = {}
    for entry in (Entry(**variant) for variant in variants):
        model = loader.model(entry).train()
        inputs = random_inputs(model, loader.tokenizer(entry), form, batch, tokens, seed)
        classes = torch.zeros(batch, dtype=torch.long, device=model.device)
        labels = classes if form == "classification" else inputs["input_ids"]
        keep = _keeper(objects, model, entry)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        runs[entry.name] = functools.partial(
            _step, model, inputs | {"labels": labels}, optimizer, keep, device
        )
    cells = [
        {
            "variant": name,
            "kernel": DENSE,
            "batch": batch,
            "operation": "train_step",
            "peak_bytes": None,
            "samples_ms": in_ms(seconds),
        }
        for name, seconds in interleaved_samples(runs, Schedule(**schedule)).items()
    ]
    return {"cells": cells, **facts(device, threads, tokens)}


def _keeper(objects: Objects, model: Any, entry: Entry) -> Callable[[], None]:
    """What holds the variant's removed weights at zero after a step; nothing for a dense one."""
    keeper = Keeper(model)
    if entry.masks is not None:
        keeper.remove(read_pruned(objects.open(entry.masks)).masks)
    return keeper.put_back


def _step(
    model: Any,
    batch: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    keep: Callable[[], None],
    device: str,
) -> None:
    optimizer.zero_grad()
    model(**batch).loss.backward()
    optimizer.step()
    keep()
    finished(device)
