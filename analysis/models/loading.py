"""Loads a checkpoint for one form of task: whole, with units removed, or as an alternative.

What no config can say stands in a file of its own: what a smaller model keeps of its layers, and
what an alternative to pruning has in place of the architecture's modules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from analysis.alternatives import ALTERNATIVE, int8, moe, read_alternative
from analysis.arrays import Array, Mask
from analysis.errors import RequestError, unknown
from analysis.models import naming
from analysis.models.filling import built, fill
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


@dataclass(frozen=True)
class _Kind:
    """A kind of alternative.

    plain     the float32 weights that the architecture knows, from the file's tensors and facts
    attach    puts the kind's own modules into the model, filled with these
    cpu_only  whether its modules compute on the CPU alone
    """

    plain: Callable[[Mapping[str, Array], Mapping[str, Any]], dict[str, Array]]
    attach: Callable[[torch.nn.Module, Mapping[str, Array], Mapping[str, Any]], None]
    cpu_only: bool = False


_KINDS = {
    "int8": _Kind(int8.plain, int8.attach, cpu_only=True),
    "moe": _Kind(moe.plain, moe.attach),
}


def load_model(folder: Path, form: str, device: str) -> tuple[Any, Any]:
    """The model for that form of task and its tokenizer, ready to answer, in float32.

    Raises RequestError if the folder's files are damaged, or its kind of model cannot run on that
    device.
    """
    where = resolve_device(device)
    alternative = _alternative(folder)
    if alternative and alternative[0].cpu_only and torch.device(where).type != "cpu":
        raise RequestError(
            f"{folder} holds a model of the kind {alternative[1]['kind']}, which runs on the CPU"
            f" alone, and the device is {where!r}; ask for the device 'cpu'"
        )
    model = open_model(folder, _LOADERS[form])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return model.to(where).eval(), tokenizer


def open_model(folder: Path, auto_class: Any) -> Any:
    """The model of that class (an AutoModelFor…): a whole one, a smaller one or an alternative.

    In float32, but for the modules of an alternative.
    """
    alternative = _alternative(folder)
    if alternative:
        return _load_alternative(folder, auto_class, *alternative)
    if (folder / KEPT).exists():
        return load_smaller(folder, auto_class)
    return auto_class.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def load_smaller(folder: Path, auto_class: Any) -> Any:
    """The model of which the folder holds what is left once units were removed, in float32.

    Raises RequestError if its files are damaged or do not fit each other, or a parameter is
    missing or surplus.
    """
    model = _smaller(folder, auto_class)
    fill(model, read_weights(folder), folder / FILE, f"config.json and {KEPT}")
    return model.eval()


def _smaller(folder: Path, auto_class: Any) -> Any:
    """The model of config.json with room for what is kept of it, and random weights."""
    config, model = built(folder, auto_class)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    found = units.groups(naming.weights(shapes), shapes, config)
    kept = units.read_kept(folder, found)
    for group in found:
        if group.key in kept:
            _shrink(model, group, len(kept[group.key]))
    return model


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


def _alternative(folder: Path) -> tuple[_Kind, dict[str, Any]] | None:
    """The kind of alternative that the folder holds and its facts; None if it holds none."""
    facts = read_alternative(folder)
    if facts is None:
        return None
    if facts["kind"] not in _KINDS:
        known = unknown("kind of alternative", facts["kind"], _KINDS)
        raise RequestError(f"{folder / ALTERNATIVE}: {known}")
    return _KINDS[facts["kind"]], facts


def _load_alternative(folder: Path, auto_class: Any, kind: _Kind, facts: dict[str, Any]) -> Any:
    """The model of config.json, what is kept of it if units were removed, and the kind's modules
    put in. Raises RequestError if the files are damaged or do not fit each other."""
    smaller = (folder / KEPT).exists()
    model = _smaller(folder, auto_class) if smaller else built(folder, auto_class)[1]
    tensors = read_weights(folder)
    try:
        weights = kind.plain(tensors, facts)
    except RequestError as error:
        raise RequestError(f"{folder}: {error}") from error
    described = f"config.json and {ALTERNATIVE}"
    fill(model, weights, folder / FILE, f"{described} and {KEPT}" if smaller else described)
    try:
        kind.attach(model, tensors, facts)
    except RequestError as error:
        raise RequestError(f"{folder}: {error}") from error
    return model.eval()


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
