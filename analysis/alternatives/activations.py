"""What goes through the feed-forward layers of a model on calibration batches."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from analysis.alternatives.feedforward import FeedForward
from analysis.calibration.matrices import Matrix, matrices
from analysis.calibration.padding import real, told_apart
from analysis.errors import RequestError, RunError
from analysis.models.encoding import Batch

See = Callable[[str, Tensor, Tensor], None]  # a layer's key, its inputs and its activations


def observe(
    model: PreTrainedModel,
    batches: Iterable[Batch],
    layers: Mapping[str, FeedForward],
    see: See,
) -> None:
    """Run the model on the batches and show `see`, for each layer and batch, the layer's inputs
    (tokens, in) and activations (tokens, neurons), without padding.

    Raises RunError if one is not finite, or a layer was not reached.
    """
    seen: set[str] = set()
    running: Batch = {}
    entered: dict[str, Tensor] = {}

    def enter(key: str, matrix: Matrix) -> Callable[..., None]:
        def note(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
            entered[key] = real(model.config, matrix, args[0], running).float()

        return note

    def leave(key: str, matrix: Matrix) -> Callable[..., None]:
        def show(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
            h = real(model.config, matrix, args[0], running).float()
            x = entered.pop(key)
            if not (x.isfinite().all() and h.isfinite().all()):
                raise RunError(f"{key}: its activations are not finite; the model is broken")
            seen.add(key)
            see(key, x, h)

        return show

    of_layer = {key: matrices(model, [one.into, one.out]) for key, one in layers.items()}
    of_block: dict[torch.nn.Module, list[Matrix]] = defaultdict(list)
    for matrix in (matrix for both in of_layer.values() for matrix in both):
        of_block[model.get_submodule(matrix.block)].append(matrix)
    run_on = told_apart(model, list(batches), of_block)
    with contextlib.ExitStack() as hooks, torch.no_grad():
        for key, both in of_layer.items():
            for matrix, hook in zip(both, (enter, leave), strict=True):
                handle = matrix.module.register_forward_pre_hook(hook(key, matrix))
                hooks.callback(handle.remove)
        for batch in run_on:
            running.clear()
            running.update(batch)
            model(**batch)
    if missed := sorted(layers.keys() - seen):
        raise RunError(f"{missed[0]} has no activations: calibration never reached it")


def held_out(batches: Sequence[Batch]) -> tuple[list[Batch], list[Batch]]:
    """The batches without every fourth of their rows, and those rows.

    Raises RequestError if there are fewer than four rows.
    """
    most: list[Batch] = []
    rest: list[Batch] = []
    before = 0
    for batch in batches:
        rows = torch.arange(len(batch["input_ids"]), device=batch["input_ids"].device)
        last = (rows + before) % 4 == 3
        for part, chosen in ((most, rows[~last]), (rest, rows[last])):
            if len(chosen):
                part.append({name: tensor[chosen] for name, tensor in batch.items()})
        before += len(rows)
    if not rest:
        raise RequestError(
            f"{before} calibration examples: a router takes at least 4; ask for more"
        )
    return most, rest
