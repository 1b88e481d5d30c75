"""Pruned models: all levels of a method that looks at what goes into each matrix."""

import time
from pathlib import Path
from typing import Any

import torch

from analysis import pruning, tasks
from analysis.calibration.batches import calibration_batches, facts
from analysis.calibration.texts import Texts
from analysis.engine.machine import peak_here
from analysis.engine.objects import Objects
from analysis.models.loading import load_model
from analysis.models.tokenizing import open_tokenizer
from analysis.pruning.calibrated import Calibration, select
from analysis.pruning.masks import write_pruned
from analysis.pruning.outcome import outcome
from analysis.pruning.patterns import parse
from analysis.pruning.prunable import Prunable, scope_of
from analysis.steps.examples.training import training_examples
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
    model on, calibrated with training examples of the task: `examples` of them cut at `tokens`, or
    as many windows of so many tokens where the task is a causal model's."""
    torch.set_num_threads(threads)
    module = pruning.method(method)
    folder = objects.open(checkpoint)
    asked = [parse(level) if isinstance(level, str) else level for level in levels]

    def prune(model: Prunable) -> list[dict[str, Any]]:
        found = []
        start = time.perf_counter()
        selections = select(
            module,
            model.names,
            asked,
            calibration(folder, texts_of(objects, task, training, examples, tokens, seed), device),
        )
        for i, selection in enumerate(selections):
            seconds = time.perf_counter() - start
            pruned, reached = outcome(model, selection)
            write_pruned(scratch / str(i), pruned, weights_sha256, model.opened.dtypes)
            found.append(reached | {"level": levels[i], "prune_seconds": round(seconds, 4)})
            start = time.perf_counter()
        return found

    with scope_of(folder, module.in_scope, include, exclude) as model, objects.scratch() as scratch:
        found, peak = peak_here(lambda: prune(model))
        for i, level in enumerate(found):
            level["masks"] = {"object": objects.adopt(scratch / str(i))}
    return {"levels": found, "peak_bytes": peak}


def texts_of(
    objects: Objects, task: str, training: str | None, count: int, tokens: int, seed: int
) -> Texts:
    """A task's training examples, as models are calibrated on them."""

    def examples(wanted: int) -> list[Example]:
        return training_examples(objects, task, training, wanted, seed)[1]

    return Texts(tasks.training_form(tasks.task(task)), examples, count, tokens, seed)


def calibration(folder: Path, texts: Texts, device: str) -> Calibration:
    """The model in that folder, and batches of the texts."""
    tokenizer = open_tokenizer(folder)
    return Calibration(
        load=lambda: load_model(folder, texts.form, device)[0],
        batches=lambda model: calibration_batches(model, tokenizer, texts),
        facts=lambda batches: facts(texts, batches),
    )
