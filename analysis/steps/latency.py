"""Latency of a forward pass of a model's variants, measured side by side."""

import copy
import functools
from pathlib import Path
from typing import Any

import torch

from analysis.execution.choice import Chooser, always
from analysis.execution.convert import kernels_of, sparsify
from analysis.execution.names import AUTO, TILED_CSR, TORCH_CSR
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.machine import peak_of
from analysis.models.loading import resolve_device
from analysis.objects import Objects
from analysis.progress import track
from analysis.steps.timed import CONVERTED, Entry, Loader, facts, finished, in_ms, random_inputs


def measure_latency(
    objects: Objects,
    *,
    variants: list[dict[str, Any]],
    form: str,
    batches: list[int],
    tokens: int,
    schedule: dict[str, Any],
    threads: int,
    device: str,
    seed: int,
    kernels: str,
) -> dict[str, Any]:
    """Record: for each variant, kernel and batch size the raw samples in ms.

    `variants` are entries (see `timed`), the dense model first; they take turns. Peak memory is
    measured for the first batch size, with the default kernel and with the chosen ones, before
    threads are started. `kernels` is the file that remembers which kernel was fastest. Runs in a
    fresh process.
    """
    entries = [Entry(**variant) for variant in variants]
    device = resolve_device(device)
    loader = Loader(objects, form, device)
    inputs = functools.partial(random_inputs, form=form, tokens=tokens, seed=seed)
    sizes = [batch * tokens for batch in batches]
    peaks = {}
    if device == "cpu":
        torch.set_num_threads(1)  # no OpenMP threads before the forks of peak_of
        for entry in track([e for e in entries if e.measured], "measuring memory"):
            model = loader.model(entry)
            given = inputs(model, loader.tokenizer(entry), batch=batches[0])
            for kernel in sorted({*entry.kernels} - {TORCH_CSR, TILED_CSR}):  # AUTO is one of them
                own = functools.partial(_own_copy, model, threads, kernel, Path(kernels), sizes)
                run = functools.partial(_run_copy, given)
                peaks[entry.name, kernel, batches[0]] = peak_of(run, own)[1]
    torch.set_num_threads(threads)
    choose, runs, chosen = Chooser(Path(kernels)), {}, {}
    for entry in track(entries, "loading variants"):
        for kernel in entry.kernels:
            runnable = loader.runnable(entry, kernel, choose, sizes)
            if runnable is not None:
                for batch in batches:
                    given = inputs(runnable, loader.tokenizer(entry), batch=batch)
                    run = functools.partial(_run, runnable, given, device)
                    runs[entry.name, kernel, batch] = run
                    chosen[entry.name, kernel, batch] = kernels_of(runnable, batch * tokens)
    cells = []
    for batch in track(batches, "measuring latency"):
        turn = {cell: run for cell, run in runs.items() if cell[2] == batch}
        for cell, seconds in interleaved_samples(turn, Schedule(**schedule)).items():
            name, kernel, _ = cell
            cells.append(
                {
                    "variant": name,
                    "kernel": kernel,
                    "batch": batch,
                    "operation": "forward",
                    "peak_bytes": peaks.get(cell),
                    "chosen": chosen[cell] if kernel == AUTO else None,
                    "samples_ms": in_ms(seconds),
                }
            )
    return {"cells": cells, **facts(device, threads, tokens)}


def _run(model: Any, inputs: dict[str, torch.Tensor], device: str) -> None:
    """One forward pass, to its end."""
    with torch.inference_mode():
        model(**inputs)
    finished(device)


def _own_copy(
    model: Any, threads: int, kernel: str, memory: Path, sizes: list[int]
) -> tuple[Any, Any]:
    """The model as the kernel runs it, on weights of its own, so that they count: as loaded, those
    never touched are still the mapped file's. And what it held before: freeing that would hide it.
    """
    torch.set_num_threads(threads)
    if kernel not in CONVERTED:
        return copy.deepcopy(model), model  # all of it, as int8's weights are no parameters
    before = [parameter.data for parameter in model.parameters()]
    sparsify(model, Chooser(memory) if kernel == AUTO else always(kernel), sizes)
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model, before


def _run_copy(inputs: dict[str, torch.Tensor], own: tuple[Any, Any]) -> None:
    _run(own[0], inputs, "cpu")
