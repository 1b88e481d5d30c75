"""Latency of a model's dense and pruned variants, measured side by side."""

import functools
from pathlib import Path
from typing import Any

import torch

from analysis.execution.timing import Schedule, interleaved_samples
from analysis.machine import peak_of
from analysis.models.loading import load_model, put, resolve_device
from analysis.objects import Objects
from analysis.progress import track
from analysis.pruning.masks import read_pruned

KERNEL = "torch dense"


def measure_latency(
    objects: Objects,
    *,
    checkpoint: str,
    masks: dict[str, str],
    form: str,
    batches: list[int],
    tokens: int,
    schedule: dict[str, Any],
    threads: int,
    device: str,
    seed: int,
) -> dict[str, Any]:
    """Record: for each variant and batch size the raw samples in ms, and the peak memory.

    `masks` maps a variant's name to its masks' digest; the dense model is "dense". Runs in a fresh
    process (see analysis.machine.peak_of), the variants taking turns.
    """
    folder = objects.open(checkpoint)
    variants: dict[str, Path | None] = {"dense": None}
    variants |= {name: objects.open(digest) for name, digest in masks.items()}
    device = resolve_device(device)
    peaks = {}
    if device == "cpu":
        torch.set_num_threads(1)  # no OpenMP threads before the forks of peak_of
        for name in track(list(variants), "measuring memory"):
            for batch in batches:
                model, inputs = _loaded(folder, variants[name], form, batch, tokens, device, seed)
                run = functools.partial(_run_on_own_copy, model, inputs, threads)
                peaks[name, batch] = peak_of(run)[1]
    torch.set_num_threads(threads)
    cells = []
    for batch in track(batches, "measuring latency"):
        runs = {
            name: functools.partial(
                _run, *_loaded(folder, path, form, batch, tokens, device, seed), device
            )
            for name, path in variants.items()
        }
        for name, seconds in interleaved_samples(runs, Schedule(**schedule)).items():
            cell = {"variant": name, "batch": batch, "peak_bytes": peaks.get((name, batch))}
            cells.append(cell | {"samples_ms": [round(1e3 * s, 4) for s in seconds]})
    return {
        "cells": cells,
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else "",
        "dtype": "float32",
        "kernel": KERNEL,
        "tokens": tokens,
        "threads": threads,
    }


def _loaded(
    folder: Path, masks: Path | None, form: str, batch: int, tokens: int, device: str, seed: int
) -> tuple[Any, dict[str, torch.Tensor]]:
    """The variant and inputs for it."""
    model, tokenizer = load_model(folder, form, device)
    if masks is not None:
        pruned = read_pruned(masks)
        put(model, pruned.masks, pruned.values)
    return model, _inputs(model, tokenizer, form, batch, tokens, seed)


def _run(model: Any, inputs: dict[str, torch.Tensor], device: str) -> None:
    """One forward pass, to its end."""
    with torch.inference_mode():
        model(**inputs)
    if device == "cuda":
        torch.cuda.synchronize()


def _run_on_own_copy(model: Any, inputs: dict[str, torch.Tensor], threads: int) -> None:
    """One forward pass on a copy of the weights, so that they count: as loaded, those never
    touched are still the mapped file's. The originals are kept, or freeing them would hide it."""
    torch.set_num_threads(threads)
    originals = [parameter.data for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    _run(model, inputs, "cpu")
    del originals


def _inputs(
    model: Any, tokenizer: Any, form: str, batch: int, tokens: int, seed: int
) -> dict[str, torch.Tensor]:
    """Random token ids [batch, tokens] without padding, each row closed as the tokenizer closes."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, len(tokenizer), (batch, tokens), generator=generator)
    if tokenizer.eos_token_id is not None:
        ids[ids == tokenizer.eos_token_id] = 0
        ids[:, -1] = tokenizer.eos_token_id  # BART's classifier wants one in every row
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if form == "text-to-text":
        inputs["decoder_input_ids"] = ids
    return {name: tensor.to(model.device) for name, tensor in inputs.items()}
