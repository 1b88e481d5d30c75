"""What the steps that measure time share: variants as they are run, and the inputs of a run."""

import copy
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from analysis.execution.choice import Choose, always
from analysis.execution.convert import sparsify
from analysis.execution.names import AUTO, INT8, TILED_CSR, TORCH_CSR
from analysis.models.loading import load_model, put, resolve_device
from analysis.objects import Objects
from analysis.pruning.masks import read_pruned

CONVERTED = (AUTO, TORCH_CSR, TILED_CSR)


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


@dataclass(frozen=True)
class Loader:
    """Loads variants for one form of task, each checkpoint once."""

    objects: Objects
    form: str
    device: str

    def model(self, entry: Entry) -> Any:
        """The variant with its zeros among its weights, a model of its own."""
        folder = self.objects.open(entry.checkpoint)
        if entry.masks is None:
            return load_model(folder, self.form, self.device)[0]
        model = copy.deepcopy(_loaded(folder, self.form, self.device)[0])
        pruned = read_pruned(self.objects.open(entry.masks))
        put(model, pruned.masks, pruned.values)
        return model

    def tokenizer(self, entry: Entry) -> Any:
        return _tokenizer(self.objects.open(entry.checkpoint))

    def runnable(self, entry: Entry, kernel: str, choose: Choose, tokens: list[int]) -> Any | None:
        """The variant as that kernel runs it; None if the kernel can do nothing for it here."""
        if kernel == INT8 and self.device != "cpu":
            return None
        model = self.model(entry)
        if kernel in CONVERTED:
            converted = sparsify(model, choose if kernel == AUTO else always(kernel), tokens)
            if not converted and kernel != AUTO:
                return None
        return model


@functools.lru_cache(maxsize=64)
def _tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@functools.lru_cache(maxsize=2)
def _loaded(folder: Path, form: str, device: str) -> tuple[Any, Any]:
    return load_model(folder, form, device)


def random_inputs(
    model: Any, tokenizer: Any, form: str, batch: int, tokens: int, seed: int
) -> dict[str, torch.Tensor]:
    """Random token ids [batch, tokens] without padding, each row closed as the tokenizer closes."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, len(tokenizer), (batch, tokens), generator=generator)
    if tokenizer.eos_token_id is not None:
        ids[ids == tokenizer.eos_token_id] = 0
        ids[:, -1] = tokenizer.eos_token_id  # BART's classifier wants one in every row
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if form == "text-to-text":
        inputs["decoder_input_ids"] = ids
    return {name: tensor.to(model.device) for name, tensor in inputs.items()}


def facts(device: str, threads: int, tokens: int) -> dict[str, Any]:
    """What a record says of how its cells were measured."""
    device = resolve_device(device)
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else "",
        "dtype": "float32",
        "threads": threads,
        "tokens": tokens,
    }


def in_ms(seconds: list[float]) -> list[float]:
    """The samples as records keep them."""
    return [round(1e3 * s, 4) for s in seconds]


def finished(device: str) -> None:
    """Wait for what the device has been asked to do."""
    if device == "cuda":
        torch.cuda.synchronize()
