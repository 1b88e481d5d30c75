"""Time that models take to write, token by token, measured side by side."""

import functools
from pathlib import Path
from typing import Any

import torch

from analysis.engine.objects import Objects
from analysis.execution.choice import Chooser, unsettled
from analysis.execution.timing import Schedule, interleaved_samples
from analysis.steps.place import Place
from analysis.steps.timing.groups import Models, allowed_bytes, cells_of, in_groups
from analysis.steps.timing.sharing import Loader, SideBySide
from analysis.steps.timing.variants import (
    beside_dense,
    entries_of,
    facts,
    finished,
    in_ms,
    random_inputs,
)

_BATCH = 1


def measure_generation(
    objects: Objects,
    *,
    variants: list[dict[str, Any]],
    form: str,
    tokens: int,
    new_tokens: int,
    schedule: dict[str, Any],
    place: dict[str, Any],
    seed: int,
    kernels: str,
    memory_bytes: int | None = None,
) -> dict[str, Any]:
    """Record: for each variant and kernel the raw samples in ms of writing `new_tokens`, greedily,
    after a text of `tokens`, one text at a time.

    `variants`, `kernels` and `memory_bytes` are as in `latency`.
    """
    where = Place(**place)
    torch.set_num_threads(where.threads)
    entries = entries_of(variants)
    loader = Loader(objects, form, where.device)
    choose = Chooser(Path(kernels))
    maker = SideBySide(loader, entries[0], choose, [_BATCH, tokens])
    allowed = allowed_bytes(where.device, memory_bytes)

    def measured(models: Models) -> list[dict[str, Any]]:
        runs = {}
        for (entry, kernel), model in models.items():
            text = random_inputs(model, loader.tokenizer(entry), form, _BATCH, tokens, seed)
            text.pop("decoder_input_ids", None)
            runs[entry.name, kernel] = functools.partial(
                _write, model, text, new_tokens, where.device
            )
        return [
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

    found = in_groups(cells_of(entries), maker, allowed, measured)
    cells = beside_dense(found)
    return {"cells": cells, "unsettled": unsettled(choose), **facts(where, new_tokens)}


def _write(model: Any, text: dict[str, torch.Tensor], new_tokens: int, device: str) -> None:
    """Write so many tokens, none of which ends the text."""
    with torch.inference_mode():
        model.generate(
            **text, min_new_tokens=new_tokens, max_new_tokens=new_tokens, do_sample=False,
            num_beams=1,
        )  # fmt: skip
    finished(device)
