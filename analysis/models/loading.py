"""Loads a checkpoint for one form of task, whole or with units removed.

A smaller model has what it keeps of its layers in a file of its own, as no config can say so.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
)

from analysis.arrays import Array, Mask
from analysis.errors import RequestError
from analysis.models import naming
from analysis.models.weights import FILE, read_weights
from analysis.pruning import units
from analysis.pruning.units import KEPT, Group

_LOADERS = {
    "classification": AutoModelForSequenceClassification,
    "causal": AutoModelForCausalLM,
    "text-to-text": AutoModelForSeq2SeqLM,
}
# all in proportion to the number of heads, under the names that the architectures have for them
_OF_HEADS = ("num_attention_heads", "num_heads", "n_heads", "all_head_size", "inner_dim",
             "split_size")  # fmt: skip
# and of the modules that transformers has for a matrix: of its last two axes, as it is stored
_SIZES = {
    "Linear": ("out_features", "in_features"),
    "Conv1D": ("nx", "nf"),
    "Embedding": ("num_embeddings", "embedding_dim"),
}


def load_model(folder: Path, form: str, device: str) -> tuple[Any, Any]:
    """The model for that form of task and its tokenizer, ready to answer, in float32."""
    model = open_model(folder, _LOADERS[form])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return model.to(resolve_device(device)).eval(), tokenizer


def open_model(folder: Path, auto_class: Any) -> Any:
    """The model of that class (an AutoModelFor…) in float32: a whole one, or a smaller one."""
    if (folder / KEPT).exists():
        return load_smaller(folder, auto_class)
    return auto_class.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def load_smaller(folder: Path, auto_class: Any) -> Any:
    """The model of which the folder holds what is left once units were removed, in float32.

    Raises RequestError if its files are damaged or do not fit each other, or a parameter is
    missing or surplus.
    """
    config, model = _built(folder, auto_class)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    found = units.groups(naming.weights(shapes), shapes, config)
    kept = units.read_kept(folder, found)
    for group in found:
        if group.key in kept:
            _shrink(model, group, len(kept[group.key]))
    _fill(model, read_weights(folder), folder / FILE)
    return model.eval()


def _built(folder: Path, auto_class: Any) -> tuple[dict[str, Any], Any]:
    """The parsed config.json, and the whole model that it describes, with random weights."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        described = AutoConfig.from_pretrained(folder, local_files_only=True)
        make = getattr(auto_class, "from_config", None) or auto_class._from_config
        model = make(described, dtype=torch.float32)
        if (folder / "generation_config.json").is_file() and model.can_generate():
            model.generation_config = GenerationConfig.from_pretrained(
                folder, local_files_only=True
            )
    except Exception as error:  # whatever the values of a config run into
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise RequestError(
            f"{folder / 'config.json'} describes no model to open as asked: {reason}"
        ) from error
    return config, model


def _shrink(model: Any, group: Group, kept: int) -> None:
    """Make room for that many units of the group only; what stands there is not set."""
    for cut in group.cuts:
        path, _, name = cut.name.rpartition(".")
        module = model.get_submodule(path)
        shape = group.shape(cut, tuple(getattr(module, name).shape), kept)
        setattr(module, name, torch.nn.Parameter(torch.empty(shape)))
        if name == "weight":
            for size, length in zip(_SIZES[type(module).__name__], shape, strict=True):
                setattr(module, size, length)
    for path in group.modules:
        module = model.get_submodule(path)
        for attribute in filter(module.__dict__.__contains__, _OF_HEADS):
            setattr(module, attribute, getattr(module, attribute) // group.count * kept)


def _fill(model: Any, weights: Mapping[str, Array], path: Path) -> None:
    """Set every parameter of the model from the file's tensors, which are all there and fit.

    As where whole models are loaded, a tied parameter is set by either of its names, and is no
    longer tied where the file has other values for the two.
    """
    state = model.state_dict(keep_vars=True)
    unused = [re.compile(rule) for rule in model._keys_to_ignore_on_load_unexpected or ()]
    names = {}
    for stored in weights:
        name = _name_in(model, state, stored)
        if name is not None:
            names[stored] = name
        elif not naming.is_buffer(stored) and not any(rule.search(stored) for rule in unused):
            raise RequestError(f"{path} has {stored}, which the model of config.json lacks")
    filled: set[int] = set()  # by the parameter, which tied names share
    # first those that others are tied to
    for stored in sorted(names, key=lambda stored: names[stored] in model.all_tied_weights_keys):
        tensor = state[names[stored]]
        value = torch.from_numpy(weights[stored]).to(tensor.dtype)
        if tensor.shape != value.shape:
            raise RequestError(
                f"{path}: {stored} is {tuple(value.shape)}, and {tuple(tensor.shape)} by"
                f" config.json and {KEPT}; remove the units again"
            )
        if id(tensor) not in filled:
            filled.add(id(tensor))
            with torch.no_grad():
                tensor.copy_(value)
        elif not torch.equal(tensor.detach(), value):
            module, _, own = names[stored].rpartition(".")
            setattr(model.get_submodule(module), own, torch.nn.Parameter(value))
    for name, tensor in state.items():
        # what is not learned (positions in sines, buffers) is already computed
        if tensor.requires_grad and id(tensor) not in filled:
            raise RequestError(f"{path} lacks {name}, which the model of config.json has")


def _name_in(model: Any, state: Mapping[str, Any], stored: str) -> str | None:
    """What the model calls a stored tensor, with or without the base model's prefix."""
    name, prefix = naming.weight(stored).name, f"{model.base_model_prefix}."
    spellings = (name, prefix + name, name.removeprefix(prefix))
    return next((spelling for spelling in spellings if spelling in state), None)


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
