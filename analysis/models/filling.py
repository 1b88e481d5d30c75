"""A model built from its config, and its parameters set from a file's tensors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig

from analysis.checkpoints import naming
from analysis.checkpoints.config import config_of
from analysis.checkpoints.trust import trusted
from analysis.engine.arrays import Array
from analysis.errors import RequestError, RunError
from analysis.models.opening import MODEL, opening


def built(folder: Path, auto_class: Any) -> tuple[dict[str, Any], Any]:
    """The parsed config.json, and the whole model that it describes, with random weights.

    Raises RequestError if the config describes no model of that class.
    """
    config = config_of(folder)
    with opening(folder, MODEL):
        described = AutoConfig.from_pretrained(folder, local_files_only=True, **trusted(folder))
        make = getattr(auto_class, "from_config", None) or auto_class._from_config
        own_code = {"trust_remote_code": True} if trusted(folder)["trust_remote_code"] else {}
        model = make(described, dtype=torch.float32, **own_code)
        if (folder / "generation_config.json").is_file() and model.can_generate():
            model.generation_config = GenerationConfig.from_pretrained(
                folder, local_files_only=True
            )
    return config, model


def fill(model: Any, weights: Mapping[str, Array], path: Path, described: str) -> None:
    """Set every parameter of the model from the file's tensors, which are all there and fit.

    As where whole models are loaded, a tied parameter is set by either of its names, and is no
    longer tied where the file has other values for the two. Heads and poolers that the model, for
    another form of task, has not are passed over. `described` names, for errors, the files that the
    model was built from.

    Raises RequestError if a parameter is missing, surplus, or of another shape.
    """
    state = model.state_dict(keep_vars=True)
    names = {}
    for stored in weights:
        name = name_in(model, state, stored)
        if name is not None:
            names[stored] = name
        elif not _is_passed_over(model, stored):
            raise RequestError(f"{path} has {stored}, which the model of config.json lacks")
    filled: set[int] = set()  # by the parameter, which tied names share
    # first those that others are tied to
    for stored in sorted(names, key=lambda stored: names[stored] in model.all_tied_weights_keys):
        tensor = state[names[stored]]
        value = torch.from_numpy(weights[stored]).to(tensor.dtype)
        if tensor.shape != value.shape:
            raise RequestError(
                f"{path}: {stored} is {tuple(value.shape)}, and {tuple(tensor.shape)} by"
                f" {described}; make these files again"
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


def is_of_another_form(stored: str) -> bool:
    """Whether it is a head's or a pooler's: models for other forms of task lack these."""
    what = naming.weight(stored)
    return what.part == "head" or (what.layer is None and "pooler" in stored.split("."))


def partner_in(model: Any, state: Mapping[str, Any], stored: str) -> str | None:
    """What the model calls a stored tensor; None where it can do without: see `_is_passed_over`.

    Raises RunError for any other that it has not.
    """
    own = name_in(model, state, stored)
    if own is None and not _is_passed_over(model, stored):
        raise RunError(
            f"{stored}: the checkpoint has it, and a {type(model).__name__} has no weight of that"
            " name; save the checkpoint again by the transformers installed here"
        )
    return own


def _is_passed_over(model: Any, stored: str) -> bool:
    """Whether a tensor may be in a file and not in the model: heads and poolers for another form of
    task, what is no parameter, and what the architecture itself ignores."""
    ignored = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    return (
        naming.is_buffer(stored)
        or is_of_another_form(stored)
        or any(re.search(rule, stored) for rule in ignored)
    )


def name_in(model: Any, state: Mapping[str, Any], stored: str) -> str | None:
    """What the model calls a stored tensor, with or without the base model's prefix."""
    name, prefix = naming.weight(stored).name, f"{getattr(model, 'base_model_prefix', '')}."
    spellings = (name, prefix + name, name.removeprefix(prefix))
    return next((spelling for spelling in spellings if spelling in state), None)
