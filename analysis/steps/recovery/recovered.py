"""Pruned models trained on: with their masks kept, and, as a warning, without them."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from analysis.checkpoints.opened import opened
from analysis.engine.arrays import Mask
from analysis.engine.objects import Objects
from analysis.errors import RequestError, unknown
from analysis.models.loading import load_model, put
from analysis.pruning.masks import Pruned, read_pruned
from analysis.steps.recovery.courses import course_on, held_by, stored_weights, write_trained
from analysis.training.recovery import (
    Course,
    Trained,
    distill_masked,
    fine_tune_masked,
    fine_tune_unmasked,
    flushing_denormals,
)


def recover(
    objects: Objects,
    *,
    checkpoint: str,
    masks: str,
    weights_sha256: str,
    task: str,
    training: str | None,
    protocol: str,
    examples: int | str,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    seed: int,
    threads: int,
    device: str,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Record of the pruned model trained on by the protocol, its masks kept.

    checkpoint and masks are objects' digests; `weights_sha256` is that of the checkpoint's weights.
    The new object has the same masks, and the values of every tensor that is not the checkpoint's.
    """
    torch.set_num_threads(threads)
    if protocol not in _PROTOCOLS:
        raise RequestError(unknown("protocol with training", protocol, _PROTOCOLS))
    train = _PROTOCOLS[protocol]
    course = course_on(
        objects,
        task,
        training,
        examples=examples,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        seed=seed,
        max_tokens=max_tokens,
    )
    load = functools.partial(load_model, objects.open(checkpoint), course.form, device)
    model, tokenizer, pruned = _pruned_model(load, objects, masks)
    held = held_by(model, pruned.masks)
    start = time.perf_counter()
    with flushing_denormals() as flushed:
        trained = train(model, tokenizer, load, held, course)
    seconds = time.perf_counter() - start
    with opened(objects.open(checkpoint)) as dense, objects.scratch() as scratch:
        path = scratch / "masks"
        achieved = write_trained(path, model, dense, pruned.masks, weights_sha256)
        new = objects.adopt(path)
    return achieved | {
        "masks": {"object": new},
        "removed": _removed(held),
        "threshold": None,
        "train_seconds": round(seconds, 3),
        "zeros_by_epoch": trained.zeros,
        "final_loss": trained.losses[-1],
        "flush_denormal": flushed,
    }


def recover_without_masks(
    objects: Objects,
    *,
    checkpoint: str,
    masks: str,
    weights_sha256: str,
    task: str,
    training: str | None,
    examples: int | str,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    seed: int,
    threads: int,
    device: str,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Record of how much of its sparsity the same training destroys if nothing keeps the masks.

    Sparsities are shares of zeros in the masks' tensors. The trained model itself is not kept.
    `weights_sha256` is the key's.
    """
    torch.set_num_threads(threads)
    course = course_on(
        objects,
        task,
        training,
        examples=examples,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        seed=seed,
        max_tokens=max_tokens,
    )
    load = functools.partial(load_model, objects.open(checkpoint), course.form, device)
    model, tokenizer, pruned = _pruned_model(load, objects, masks)
    held = held_by(model, pruned.masks)
    before = _sparsity(model, held)
    start = time.perf_counter()
    with flushing_denormals() as flushed:
        trained = fine_tune_unmasked(model, tokenizer, held, course)
    seconds = time.perf_counter() - start
    return {
        "removed": _removed(held),
        "zeros_by_epoch": trained.zeros,
        "sparsity_before": before,
        "sparsity_after": _sparsity(model, held),
        "scope_weights": sum(mask.size for mask in held.values()),
        "train_seconds": round(seconds, 3),
        "final_loss": trained.losses[-1],
        "flush_denormal": flushed,
    }


Load = Callable[[], tuple[Any, Any]]  # the dense model and its tokenizer, anew


def _fine_tuned(
    model: Any, tokenizer: Any, load: Load, masks: Mapping[str, Mask], course: Course
) -> Trained:
    return fine_tune_masked(model, tokenizer, masks, course)


def _distilled(
    model: Any, tokenizer: Any, load: Load, masks: Mapping[str, Mask], course: Course
) -> Trained:
    teacher, _ = load()
    return distill_masked(model, teacher, tokenizer, masks, course)


_PROTOCOLS = {"fine-tuned": _fine_tuned, "distilled": _distilled}


def _pruned_model(load: Load, objects: Objects, masks: str) -> tuple[Any, Any, Pruned]:
    """The model as pruning left it, its tokenizer, and what pruning did."""
    model, tokenizer = load()
    pruned = read_pruned(objects.open(masks))
    put(model, pruned.masks, pruned.values)
    return model, tokenizer, pruned


def _removed(masks: Mapping[str, Mask]) -> int:
    return sum(int(mask.size - mask.sum()) for mask in masks.values())


def _sparsity(model: torch.nn.Module, masks: Mapping[str, Mask]) -> float:
    weights = stored_weights(model, masks)
    zeros = sum(array.size - int(np.count_nonzero(array)) for array in weights.values())
    return zeros / sum(mask.size for mask in masks.values())
