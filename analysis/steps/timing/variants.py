"""What the steps that measure time share: what is timed, on what inputs, and what is told of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.steps.place import Place


@dataclass(frozen=True)
class Entry:
    """A variant that is timed.

    checkpoint, masks   objects' digests; masks None runs the checkpoint as it is
    kernels             it is run once with each
    measured            whether its peak memory is measured as well
    """

    name: str
    checkpoint: str
    masks: str | None
    kernels: tuple[str, ...]
    measured: bool = False


def entries_of(variants: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The variants as steps are told of them."""
    return [Entry(**{**variant, "kernels": tuple(variant["kernels"])}) for variant in variants]


def random_inputs(
    model: Any, tokenizer: Any, form: str, batch: int, tokens: int, seed: int
) -> dict[str, Tensor]:
    """Random token ids [batch, tokens] without padding, each row closed as the tokenizer closes.

    Of ids that both the tokenizer and the model have: either may have more than the other.
    """
    generator = torch.Generator().manual_seed(seed)
    known = min(len(tokenizer), model.get_input_embeddings().num_embeddings)
    ids = torch.randint(0, known, (batch, tokens), generator=generator)
    end = tokenizer.eos_token_id
    if end is not None and end < known:
        ids[ids == end] = 0 if end else known - 1
        ids[:, -1] = end  # BART's classifier wants one in every row
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if form == "text-to-text":
        inputs["decoder_input_ids"] = ids
    return {name: tensor.to(model.device) for name, tensor in inputs.items()}


def facts(place: Place, tokens: int) -> dict[str, Any]:
    """What a record says of how its cells were measured."""
    return {
        "device": place.device,
        "device_name": torch.cuda.get_device_name() if place.device == "cuda" else "",
        "dtype": place.dtype,
        "threads": place.threads,
        "tokens": tokens,
    }


def beside_dense(groups: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The cells of groups of which each begins with the same dense model, in one list.

    Later groups' own measurements of it stand in their cells, as `dense_ms`.
    """
    first, *later = groups
    dense = first[0]["variant"]
    found = list(first)
    for group in later:
        whole = {cell["batch"]: cell["samples_ms"] for cell in group if cell["variant"] == dense}
        others = (cell for cell in group if cell["variant"] != dense)
        found += [cell | {"dense_ms": whole[cell["batch"]]} for cell in others]
    return found


def in_ms(seconds: list[float]) -> list[float]:
    """The samples as records keep them."""
    return [round(1e3 * s, 4) for s in seconds]


def finished(device: str) -> None:
    """Wait for what the device has been asked to do."""
    if device == "cuda":
        torch.cuda.synchronize()
