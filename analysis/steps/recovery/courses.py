"""What the steps that train a pruned model share: the course they take, and what they remember."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.checkpoints.opened import Opened
from analysis.engine.arrays import Array, Mask
from analysis.engine.objects import Objects
from analysis.errors import RunError
from analysis.models.filling import is_of_another_form, name_in, partner_in
from analysis.pruning.masks import Pruned, left, write_pruned
from analysis.steps.examples.training import training_examples
from analysis.training.course import Course

_OF_EXAMPLES = ("task", "training", "examples", "seed")


def course_on(objects: Objects, asked: Mapping[str, Any]) -> Course:
    """The course that a step is told to take, with its examples.

    Their `task`, `training` and `examples` are as `training_examples` takes them, all else is as of
    `Course`. Raises RequestError if there is no such task, RunError if no training examples are
    known for it.
    """
    task, training, count, seed = (asked[key] for key in _OF_EXAMPLES)
    form, examples = training_examples(objects, task, training, count, seed)
    how = {key: value for key, value in asked.items() if key not in _OF_EXAMPLES}
    return Course(form=form, examples=examples, seed=seed, **how)


def stored_weights(model: torch.nn.Module, names: Iterable[str]) -> dict[str, Array]:
    """The model's weights under these names of its checkpoint, without heads, poolers and buffers
    that it lacks.

    Raises RunError if it lacks another of them: what training did would be lost.
    """
    state = model.state_dict()
    own = {name: partner_in(model, state, name) for name in names}
    return {name: state[there].cpu().numpy() for name, there in own.items() if there is not None}


def held_by(model: torch.nn.Module, masks: Mapping[str, Mask]) -> Mapping[str, Mask]:
    """The masks without those of heads and poolers that this form of the model lacks."""
    state = model.state_dict()
    lacking = [n for n in masks if is_of_another_form(n) and name_in(model, state, n) is None]
    return {n: masks[n] for n in masks if n not in lacking} if lacking else masks


def write_trained(
    path: Path,
    model: torch.nn.Module,
    dense: Opened,
    masks: Mapping[str, Mask],
    weights_sha256: str,
) -> dict[str, Any]:
    """Write masks and the values of every tensor that training changed; returns what was achieved.

    That is the share of zeros in the masks' tensors and in the whole model, as counted in what is
    written, which has the checkpoint's types. Raises RunError if a weight is NaN or infinite, or
    the model lacks one, or learnt two for what the checkpoint holds and counts as one.
    """
    state = model.state_dict()
    _require_tied(model, state, dense)
    names = [n for n, what in dense.named.items() if what.understood or name_in(model, state, n)]
    trained = stored_weights(model, names)
    changed = {  # as compared in the type in which it was trained
        name: array
        for name, array in trained.items()
        if not np.array_equal(
            array, left(name, dense.weights[name], Pruned(masks)).astype(array.dtype)
        )
    }
    pruned = Pruned(masks, dense.as_stored(changed))
    write_pruned(path, pruned, weights_sha256, dense.dtypes)
    zeros = {name: _zeros(left(name, dense.weights[name], pruned)) for name in dense.named}
    size = sum(mask.size for mask in masks.values())
    return {
        "achieved": sum(zeros[name] for name in masks) / size,
        "scope_weights": size,
        "whole_model": sum(zeros.values()) / sum(dense.sizes.values()),
    }


def _require_tied(model: torch.nn.Module, state: Mapping[str, torch.Tensor], dense: Opened) -> None:
    """Raise RunError if training gave tensors of the same values in the checkpoint unlike ones."""
    for name, first in dense.parameters.tied.items():
        own, source = name_in(model, state, name), name_in(model, state, first)
        if own and source and not torch.equal(state[own], state[source]):
            raise RunError(
                f"{name} and {first} have the same values in the checkpoint and are not tied"
                " in its model, so training made them differ; set `tie_word_embeddings` to true in"
                " its config.json"
            )


def _zeros(array: Array) -> int:
    return int(array.size - np.count_nonzero(array))
