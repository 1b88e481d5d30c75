"""What goes through the feed-forward layers of a model on calibration batches."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from analysis.alternatives.feedforward import FeedForward
from analysis.calibration.matrices import Matrix, matrices
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
            entered[key] = _real(matrix, args[0], running)

        return note

    def leave(key: str, matrix: Matrix) -> Callable[..., None]:
        def show(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
            x, h = entered.pop(key), _real(matrix, args[0], running)
            if not (x.isfinite().all() and h.isfinite().all()):
                raise RunError(f"{key}: its activations are not finite; the model is broken")
            seen.add(key)
            see(key, x, h)

        return show

    with contextlib.ExitStack() as hooks, torch.no_grad():
        for key, layer in layers.items():
            for matrix, hook in zip(
                matrices(model, [layer.into, layer.out]), (enter, leave), strict=True
            ):
                handle = matrix.module.register_forward_pre_hook(hook(key, matrix))
                hooks.callback(handle.remove)
        for batch in batches:
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


def _real(matrix: Matrix, x: Tensor, batch: Batch) -> Tensor:
    """The rows of tokens, (tokens, width) in float32, without those of padding."""
    side = "attention_mask" if matrix.from_encoder else "decoder_attention_mask"
    mask = batch.get(side, batch["attention_mask"]).reshape(-1).bool()
    return x.reshape(-1, x.shape[-1])[mask].float()
