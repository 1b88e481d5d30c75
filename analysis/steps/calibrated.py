"""Pruned models: all levels of a method that looks at what goes into each matrix."""

import time
from pathlib import Path
from typing import Any

import torch

from analysis import pruning
from analysis.calibration.batches import calibration_batches
from analysis.machine import peak_here
from analysis.models import naming
from analysis.models.loading import load_model
from analysis.models.tokenizing import open_tokenizer
from analysis.models.weights import read_weights, require_finite
from analysis.objects import Objects
from analysis.pruning.calibrated import Calibration, select
from analysis.pruning.choice import in_scope
from analysis.pruning.masks import write_pruned
from analysis.pruning.outcome import outcome
from analysis.pruning.patterns import parse
from analysis.steps.training_examples import training_examples
from analysis.tasks import Example


def prune_calibrated(
    objects: Objects,
    *,
    weights_sha256: str,
    method: str,
    levels: list[Any],
    include: list[str],
    exclude: list[str],
    task: str,
    training: str | None,
    examples: int,
    tokens: int,
    seed: int,
    threads: int,
    device: str,
    checkpoint: str,
) -> dict[str, Any]:
    """Record, as of `prune_checkpoint`: the levels of a calibrated method, each from the dense
    model on, calibrated with so many training examples of the task, cut at `tokens`."""
    torch.set_num_threads(threads)
    module = pruning.method(method)
    folder = objects.open(checkpoint)
    tensors = read_weights(folder)
    named = naming.weights(tensors)
    weights = {name: tensors[name] for name in named}
    chosen = in_scope(named, module.in_scope, include, exclude)
    require_finite(weights, chosen)
    asked = [parse(level) if isinstance(level, str) else level for level in levels]

    def prune() -> list[dict[str, Any]]:
        found = []
        start = time.perf_counter()
        selections = select(
            module,
            chosen,
            asked,
            calibration(
                folder, training_examples(objects, task, training, examples, seed), tokens, device
            ),
        )
        for i, selection in enumerate(selections):
            seconds = time.perf_counter() - start
            pruned, facts = outcome(weights, chosen, selection)
            write_pruned(scratch / str(i), pruned, weights_sha256)
            found.append(facts | {"level": levels[i], "prune_seconds": round(seconds, 4)})
            start = time.perf_counter()
        return found

    with objects.scratch() as scratch:
        found, peak = peak_here(prune)
        for i, level in enumerate(found):
            level["masks"] = {"object": objects.adopt(scratch / str(i))}
    return {"levels": found, "peak_bytes": peak}


def calibration(
    folder: Path, training: tuple[str, list[Example]], tokens: int, device: str
) -> Calibration:
    """The model in that folder, and batches of training examples of that form."""
    form, texts = training
    tokenizer = open_tokenizer(folder)
    return Calibration(
        load=lambda: load_model(folder, form, device)[0],
        batches=lambda model: calibration_batches(model, tokenizer, form, texts, tokens),
    )
