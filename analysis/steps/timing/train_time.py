"""Time of a training step: of the dense model, and of a pruned one whose masks are kept."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from analysis.engine.objects import Objects
from analysis.execution.names import DENSE
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.pruning.masks import read_pruned
from analysis.steps.place import Place
from analysis.steps.timing.groups import Cell, Models, allowed_bytes, in_groups
from analysis.steps.timing.sharing import Loader
from analysis.steps.timing.variants import (
    Entry,
    beside_dense,
    entries_of,
    facts,
    finished,
    in_ms,
    random_inputs,
)
from analysis.training.recovery import Keeper

_COPIES = 4  # of the weights: they themselves, their gradients and AdamW's two moments


def measure_training(
    objects: Objects,
    *,
    variants: list[dict[str, Any]],
    form: str,
    batch: int,
    tokens: int,
    schedule: dict[str, Any],
    place: dict[str, Any],
    seed: int,
    memory_bytes: int | None = None,
) -> dict[str, Any]:
    """Record: for each variant the raw samples in ms of one step of training: forward, backward,
    AdamW, and for a pruned variant the keeping of its masks. `variants` and `memory_bytes` are as
    in `latency`."""
    where = Place(**place)
    torch.set_num_threads(where.threads)
    maker = _Trainers(Loader(objects, form, where.device), objects)

    def measured(models: Models) -> list[dict[str, Any]]:
        runs = {}
        for (entry, _), trainer in models.items():
            tokenizer = maker.loader.tokenizer(entry)
            inputs = random_inputs(trainer.model, tokenizer, form, batch, tokens, seed)
            classes = torch.zeros(batch, dtype=torch.long, device=trainer.model.device)
            labels = classes if form == "classification" else inputs["input_ids"]
            given = inputs | {"labels": labels}
            runs[entry.name] = functools.partial(_step, trainer, given, where.device)
        return [
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

    allowed = allowed_bytes(where.device, memory_bytes)
    cells = [(entry, DENSE) for entry in entries_of(variants)]
    found = in_groups(cells, maker, allowed, measured)
    return {"cells": beside_dense(found), **facts(where, tokens)}


@dataclass(frozen=True)
class _Trainer:
    """A model, what moves its weights, and what keeps those that were removed at zero."""

    model: Any
    optimizer: torch.optim.Optimizer
    keep: Callable[[], None]


@dataclass(frozen=True)
class _Trainers:
    """Makes models of which none shares anything, as training changes all of them."""

    loader: Loader
    objects: Objects

    def make(self, cell: Cell) -> _Trainer:
        model = self.loader.model(cell[0]).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        return _Trainer(model, optimizer, _keeper(self.objects, model, cell[0]))

    def bytes_to_add(self, cell: Cell) -> int:
        return _COPIES * self.loader.bytes_of_whole(cell[0].checkpoint)

    def bytes_held(self, models: Mapping[Cell, Any]) -> int:
        return sum(self.bytes_to_add(cell) for cell in models)


def _keeper(objects: Objects, model: Any, entry: Entry) -> Callable[[], None]:
    """What holds the variant's removed weights at zero after a step; nothing for a dense one."""
    keeper = Keeper(model)
    if entry.masks is not None:
        keeper.remove(read_pruned(objects.open(entry.masks)).masks)
    return keeper.put_back


def _step(trainer: _Trainer, batch: dict[str, torch.Tensor], device: str) -> None:
    trainer.optimizer.zero_grad()
    trainer.model(**batch).loss.backward()
    trainer.optimizer.step()
    trainer.keep()
    finished(device)
