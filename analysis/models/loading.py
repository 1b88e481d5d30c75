"""Loads a checkpoint for one form of task, whole or with units removed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from analysis.arrays import Array, Mask

_LOADERS = {
    "classification": AutoModelForSequenceClassification,
    "causal": AutoModelForCausalLM,
    "text-to-text": AutoModelForSeq2SeqLM,
}


def load_model(folder: Path, form: str, device: str) -> tuple[Any, Any]:
    """The model for that form of task and its tokenizer, ready to answer, in float32."""
    model = _LOADERS[form].from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return model.to(resolve_device(device)).eval(), tokenizer


def resolve_device(device: str) -> str:
    """The device to use: "auto" is a GPU where there is one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def put(model: Any, masks: Mapping[str, Mask], values: Mapping[str, Array]) -> None:
    """Set the weights that pruning changed, and those it removed to zero, in place.

    masks and values are by the tensors' stored names; values have the tensors' shapes.
    """
    state = model.state_dict()
    with torch.no_grad():
        for name, array in values.items():
            state[name].copy_(torch.from_numpy(array))
        for name, mask in masks.items():
            state[name].masked_fill_(torch.from_numpy(~mask).to(state[name].device), 0.0)
