"""Time that models take to write, token by token, measured side by side."""

import functools
from pathlib import Path
from typing import Any

import torch

from analysis.execution.choice import Chooser
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.models.loading import resolve_device
from analysis.objects import Objects
from analysis.progress import track
from analysis.steps.timed import Entry, Loader, facts, finished, in_ms, random_inputs

_BATCH = 1


def measure_generation(
    objects: Objects,
    *,
    variants: list[dict[str, Any]],
    form: str,
    tokens: int,
    new_tokens: int,
    schedule: dict[str, Any],
    threads: int,
    device: str,
    seed: int,
    kernels: str,
) -> dict[str, Any]:
    """Record: for each variant and kernel the raw samples in ms of writing `new_tokens`, greedily,
    after a text of `tokens`, one text at a time.

    `variants` and `kernels` are as in `latency`.
    """
    torch.set_num_threads(threads)
    device = resolve_device(device)
    loader, choose, runs = Loader(objects, form, device), Chooser(Path(kernels)), {}
    for entry in track([Entry(**variant) for variant in variants], "loading variants"):
        for kernel in entry.kernels:
            model = loader.runnable(entry, kernel, choose, [_BATCH, tokens])
            if model is not None:
                text = random_inputs(model, loader.tokenizer(entry), form, _BATCH, tokens, seed)
                text.pop("decoder_input_ids", None)
                run = functools.partial(_write, model, text, new_tokens, device)
                runs[entry.name, kernel] = run
    cells = [
        {
            "variant": name,
            "kernel": kernel,
            "batch": _BATCH,
            "operation": "generate",
            "peak_bytes": None,
            "samples_ms": in_ms(seconds),
        }
        for (name, kernel), seconds in interleaved_samples(runs, Schedule(**schedule)).items()
    ]
    return {"cells": cells, **facts(device, threads, new_tokens)}


def _write(model: Any, text: dict[str, torch.Tensor], new_tokens: int, device: str) -> None:
    """Write so many tokens, none of which ends the text."""
    with torch.inference_mode():
        model.generate(
            **text, min_new_tokens=new_tokens, max_new_tokens=new_tokens, do_sample=False,
            num_beams=1,
        )  # fmt: skip
    finished(device)
