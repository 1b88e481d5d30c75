"""What the steps that train a pruned model share: the course they take, and what they remember."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.arrays import Array, Mask
from analysis.errors import RunError
from analysis.models import naming
from analysis.models.filling import is_of_another_form, name_in
from analysis.models.recovery import Course
from analysis.models.weights import require_finite
from analysis.objects import Objects
from analysis.pruning.masks import Pruned, applied, write_pruned
from analysis.steps.training_examples import training_examples
from analysis.tasks import task as described


def course_on(
    objects: Objects,
    task: str,
    training: str | None,
    *,
    examples: int | str,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    seed: int,
    max_tokens: int | None = None,
) -> Course:
    """So many of the task's training examples, taken so often.

    `training` and `examples` are as `training_examples` takes them; texts are cut at `max_tokens`,
    by default the task's own limit, and at what the model reads (`Course.read_by`). Raises
    RequestError if there is no such task, RunError if no training examples are known for it.
    """
    form, chosen = training_examples(objects, task, training, examples, seed)
    limit = max_tokens or described(task).max_tokens
    return Course(form, chosen, batch_size, learning_rate, epochs, seed, limit)


def stored_weights(model: torch.nn.Module, dense: Mapping[str, Array]) -> dict[str, Array]:
    """The model's weights under the names of its checkpoint `dense`, without heads, poolers and
    buffers that it lacks.

    Raises RunError if it lacks a matrix of a block: what training did would be lost.
    """
    state, found = model.state_dict(), {}
    for name in dense:
        own = name_in(model, state, name)
        if own is not None:
            found[name] = state[own].cpu().numpy()
        elif naming.weight(name).prunable:
            raise RunError(f"{name}: stored, but the model that was trained has no such weight")
    return found


def held_by(model: torch.nn.Module, masks: Mapping[str, Mask]) -> Mapping[str, Mask]:
    """The masks without those of heads and poolers that this form of the model lacks."""
    state = model.state_dict()
    lacking = [n for n in masks if is_of_another_form(n) and name_in(model, state, n) is None]
    return {n: masks[n] for n in masks if n not in lacking} if lacking else masks


def write_trained(
    path: Path,
    model: torch.nn.Module,
    dense: Mapping[str, Array],
    masks: Mapping[str, Mask],
    weights_sha256: str,
) -> dict[str, Any]:
    """Write masks and the values of every tensor that training changed; returns what was achieved.

    That is the share of zeros in the masks' tensors and in the whole model, as counted in what is
    written. Raises RunError if a weight is NaN or infinite.
    """
    trained = stored_weights(model, dense)
    require_finite(trained, trained)
    pruned = applied(dense, Pruned(masks))
    values = {n: array for n, array in trained.items() if not np.array_equal(array, pruned[n])}
    write_pruned(path, Pruned(masks, values), weights_sha256)
    left = applied(dense, Pruned(masks, values))
    names = naming.weights(dense)
    size = sum(mask.size for mask in masks.values())
    return {
        "achieved": sum(_zeros(left[name]) for name in masks) / size,
        "scope_weights": size,
        "whole_model": sum(_zeros(left[n]) for n in names) / sum(left[n].size for n in names),
    }


def _zeros(array: Array) -> int:
    return int(array.size - np.count_nonzero(array))
