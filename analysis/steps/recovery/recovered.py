"""Pruned models trained on: with their masks kept, and, as a warning, without them."""

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from analysis.checkpoints.opened import opened
from analysis.engine.arrays import Mask
from analysis.engine.objects import Objects
from analysis.errors import RequestError, unknown
from analysis.models.loading import load_model, put
from analysis.pruning.masks import read_pruned
from analysis.steps.recovery.courses import course_on, held_by, stored_weights, write_trained
from analysis.training.course import Course
from analysis.training.recovery import (
    Trained,
    distill_masked,
    fine_tune_masked,
    fine_tune_unmasked,
    flushing_denormals,
)


@dataclass(frozen=True)
class _Pruned:
    """A model as pruning left it, and the course that it takes from there.

    load    the dense model and its tokenizer, anew
    masks   of the checkpoint's tensors
    held    those of them that this form of the model has
    """

    load: Callable[[], tuple[Any, Any]]
    model: Any
    tokenizer: Any
    masks: Mapping[str, Mask]
    held: Mapping[str, Mask]
    course: Course


def recover(
    objects: Objects,
    *,
    checkpoint: str,
    masks: str,
    weights_sha256: str,
    protocol: str,
    course: dict[str, Any],
) -> dict[str, Any]:
    """Record of the pruned model trained on by the protocol, its masks kept.

    checkpoint and masks are objects' digests; `weights_sha256` is that of the checkpoint's weights;
    `course` is as `course_on` takes it. The new object has the same masks, and the values of every
    tensor that is not the checkpoint's.
    """
    if protocol not in _PROTOCOLS:
        raise RequestError(unknown("protocol with training", protocol, _PROTOCOLS))
    pruned = _pruned(objects, checkpoint, masks, course)
    trained = _trained(pruned, _PROTOCOLS[protocol])
    with opened(objects.open(checkpoint)) as dense, objects.scratch() as scratch:
        path = scratch / "masks"
        achieved = write_trained(path, pruned.model, dense, pruned.masks, weights_sha256)
        new = objects.adopt(path)
    return trained | achieved | {"masks": {"object": new}, "threshold": None}


def recover_without_masks(
    objects: Objects, *, checkpoint: str, masks: str, weights_sha256: str, course: dict[str, Any]
) -> dict[str, Any]:
    """Record of how much of its sparsity the same training destroys if nothing keeps the masks.

    Sparsities are shares of zeros in the masks' tensors. The trained model itself is not kept.
    `weights_sha256` is the key's.
    """
    pruned = _pruned(objects, checkpoint, masks, course)
    before = _sparsity(pruned)
    trained = _trained(pruned, _unmasked)
    return trained | {
        "sparsity_before": before,
        "sparsity_after": _sparsity(pruned),
        "scope_weights": sum(mask.size for mask in pruned.held.values()),
    }


def _pruned(objects: Objects, checkpoint: str, masks: str, asked: Mapping[str, Any]) -> _Pruned:
    """The model of a checkpoint with these masks and their values."""
    course = course_on(objects, asked)
    torch.set_num_threads(course.threads)
    load = functools.partial(load_model, objects.open(checkpoint), course.form, course.device)
    model, tokenizer = load()
    pruned = read_pruned(objects.open(masks))
    put(model, pruned.masks, pruned.values)
    held = held_by(model, pruned.masks)
    return _Pruned(load, model, tokenizer, pruned.masks, held, course)


def _trained(pruned: _Pruned, train: Callable[[_Pruned], Trained]) -> dict[str, Any]:
    """Train the model in place; what both records say of it."""
    start = time.perf_counter()
    with flushing_denormals() as flushed:
        trained = train(pruned)
    return {
        "removed": sum(int(mask.size - mask.sum()) for mask in pruned.held.values()),
        "train_seconds": round(time.perf_counter() - start, 3),
        "zeros_by_epoch": trained.zeros,
        "final_loss": trained.losses[-1],
        "flush_denormal": flushed,
    }


def _fine_tuned(pruned: _Pruned) -> Trained:
    return fine_tune_masked(pruned.model, pruned.tokenizer, pruned.held, pruned.course)


def _distilled(pruned: _Pruned) -> Trained:
    teacher, _ = pruned.load()
    return distill_masked(pruned.model, teacher, pruned.tokenizer, pruned.held, pruned.course)


def _unmasked(pruned: _Pruned) -> Trained:
    return fine_tune_unmasked(pruned.model, pruned.tokenizer, pruned.held, pruned.course)


_PROTOCOLS = {"fine-tuned": _fine_tuned, "distilled": _distilled}


def _sparsity(pruned: _Pruned) -> float:
    weights = stored_weights(pruned.model, pruned.held)
    zeros = sum(array.size - int(np.count_nonzero(array)) for array in weights.values())
    return zeros / sum(mask.size for mask in pruned.held.values())
