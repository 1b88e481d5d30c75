"""Latency of a model's dense and pruned variants, measured side by side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from analysis.execution.timing import Schedule, interleaved_samples
from analysis.machine import peak_of
from analysis.objects import Objects
from analysis.progress import track
from analysis.pruning.masks import read_masks
from analysis.scoring.predict import load_model, resolve_device, zero_masked

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
        for name in track(list(variants), "measuring memory"):
            for batch in batches:
                run = _runner(folder, variants[name], form, batch, tokens, threads, device, seed)
                peaks[name, batch] = peak_of(lambda run=run: run()())[1]  # type: ignore[misc]
    cells = []
    for batch in track(batches, "measuring latency"):
        runs = {
            name: _runner(folder, path, form, batch, tokens, threads, device, seed)()
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


def _runner(
    folder: Path,
    masks: Path | None,
    form: str,
    batch: int,
    tokens: int,
    threads: int,
    device: str,
    seed: int,
) -> Callable[[], Callable[[], None]]:
    """A function that loads the variant and gives a function that runs it once, to the end."""

    def load() -> Callable[[], None]:
        torch.set_num_threads(threads)
        model, tokenizer = load_model(folder, form, device)
        if masks is not None:
            zero_masked(model, read_masks(masks))
        inputs = _inputs(model, tokenizer, form, batch, tokens, seed)

        def run() -> None:
            with torch.inference_mode():
                model(**inputs)
            if device == "cuda":
                torch.cuda.synchronize()

        return run

    return load


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
