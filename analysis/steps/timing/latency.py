"""Latency of a forward pass of a model's variants, measured side by side."""

import functools
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from analysis.engine.machine import peak_of
from analysis.engine.objects import Objects
from analysis.engine.progress import track
from analysis.execution.choice import Choose, Chooser, unsettled
from analysis.execution.convert import kernels_of
from analysis.execution.names import AUTO, TILED_CSR, TORCH_CSR
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.steps.place import Place
from analysis.steps.timing.groups import Models, allowed_bytes, cells_of, in_groups, require_fit
from analysis.steps.timing.sharing import Loader, SideBySide
from analysis.steps.timing.variants import (
    Entry,
    beside_dense,
    entries_of,
    facts,
    finished,
    in_ms,
    random_inputs,
)


@dataclass(frozen=True)
class _Forward:
    """What is run: a forward pass of batches of random texts."""

    loader: Loader
    form: str
    batches: Sequence[int]
    tokens: int
    seed: int
    threads: int
    device: str

    @property
    def sizes(self) -> list[int]:
        """How many tokens a layer gets at once."""
        return [batch * self.tokens for batch in self.batches]

    def inputs(self, model: Any, entry: Entry, batch: int) -> dict[str, torch.Tensor]:
        tokenizer = self.loader.tokenizer(entry)
        return random_inputs(model, tokenizer, self.form, batch, self.tokens, self.seed)


def measure_latency(
    objects: Objects,
    *,
    variants: list[dict[str, Any]],
    form: str,
    batches: list[int],
    tokens: int,
    schedule: dict[str, Any],
    place: dict[str, Any],
    seed: int,
    kernels: str,
    memory_bytes: int | None = None,
) -> dict[str, Any]:
    """Record: for each variant, kernel and batch size the raw samples in ms.

    `variants` are entries (see `timed`), the dense model first; they take turns, in groups where
    more than `memory_bytes` would be needed at once. A cell of a later group says in `dense_ms` how
    long the dense model took in that group. Peak memory is measured for the first batch size, with
    the default kernel and with the chosen ones, before threads are started. `kernels` is the file
    that remembers which kernel was fastest; `unsettled` are the products of which that could not be
    told. Runs in a fresh process.

    Raises RunError if a variant does not fit into memory beside the dense model.
    """
    where = Place(**place)
    entries = entries_of(variants)
    loader = Loader(objects, form, where.device)
    forward = _Forward(loader, form, batches, tokens, seed, where.threads, where.device)
    choose, cells = Chooser(Path(kernels)), cells_of(entries)
    maker = SideBySide(loader, entries[0], choose, forward.sizes)
    allowed = allowed_bytes(where.device, memory_bytes)
    require_fit(cells, maker, allowed)
    peaks = {}
    alone = [entry for entry in entries if entry.measured]
    if where.device == "cpu" and alone:
        torch.set_num_threads(1)  # no OpenMP threads before the forks of peak_of
        loader.another().model(entries[0])  # else each fork imports what opens it, for a second
        gc.collect()
        for entry in track(alone, "measuring memory"):
            for kernel in sorted({*entry.kernels} - {TORCH_CSR, TILED_CSR}):  # AUTO is one of them
                own = functools.partial(_alone, forward, entry, kernel, Path(kernels))
                peaks[entry.name, kernel, batches[0]] = peak_of(_run_alone, own)[1]
    torch.set_num_threads(where.threads)

    def measured(models: Models) -> list[dict[str, Any]]:
        return _measured(forward, models, Schedule(**schedule))

    found = beside_dense(in_groups(cells, maker, allowed, measured))
    places = {(entry.name, kernel): i for i, (entry, kernel) in enumerate(cells)}
    found.sort(key=lambda c: (batches.index(c["batch"]), places[c["variant"], c["kernel"]]))
    for cell in found:
        cell["peak_bytes"] = peaks.get((cell["variant"], cell["kernel"], cell["batch"]))
    return {"cells": found, "unsettled": unsettled(choose), **facts(where, tokens)}


def _measured(forward: _Forward, models: Models, schedule: Schedule) -> list[dict[str, Any]]:
    """The cells of models that take turns."""
    found = []
    for batch in track(forward.batches, "measuring latency"):
        runs, chosen = {}, {}
        for (entry, kernel), model in models.items():
            given = forward.inputs(model, entry, batch)
            runs[entry.name, kernel] = functools.partial(_run, model, given, forward.device)
            chosen[entry.name, kernel] = kernels_of(model, batch * forward.tokens)
        for cell, seconds in interleaved_samples(runs, schedule).items():
            name, kernel = cell
            found.append(
                {
                    "variant": name,
                    "kernel": kernel,
                    "batch": batch,
                    "operation": "forward",
                    "chosen": chosen[cell] if kernel == AUTO else None,
                    "samples_ms": in_ms(seconds),
                }
            )
    return found


def _run(model: Any, inputs: dict[str, torch.Tensor], device: str) -> None:
    """One forward pass, to its end."""
    with torch.inference_mode():
        model(**inputs)
    finished(device)


def _alone(forward: _Forward, entry: Entry, kernel: str, memory: Path) -> tuple[Any, Any]:
    """The model as the kernel runs it and nothing beside it, and its inputs of the first batch."""
    torch.set_num_threads(forward.threads)
    loader = forward.loader.another()
    choose: Choose = Chooser(memory)
    model = loader.runnable(entry, kernel, choose, forward.sizes)
    del loader
    gc.collect()  # what it did not share is gone, in cycles or not
    return model, forward.inputs(model, entry, forward.batches[0])


def _run_alone(given: tuple[Any, Any]) -> None:
    _run(*given, "cpu")
