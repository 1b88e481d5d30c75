"""Loads a checkpoint for one form of task: whole, with units removed, or as an alternative.

What no config can say stands in a file of its own: what a smaller model keeps of its layers, and
what an alternative to pruning has in place of the architecture's modules.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from analysis.checkpoints import naming
from analysis.checkpoints.checkpoint import WRAPPED
from analysis.checkpoints.config import GENERATION, require_object
from analysis.checkpoints.trust import trusted
from analysis.checkpoints.weights import FILE, read_weights
from analysis.engine.arrays import Array, Mask
from analysis.errors import RequestError, RunError, unknown
from analysis.models import units
from analysis.models.alternative import ALTERNATIVE, kind_of, read_alternative
from analysis.models.encoding import padding_configs
from analysis.models.filling import built, fill, is_of_another_form, partner_in
from analysis.models.opening import MODEL, opening
from analysis.models.tokenizing import open_tokenizer
from analysis.models.units import KEPT, Group

_LOADERS = {
    "classification": AutoModelForSequenceClassification,
    "causal": AutoModelForCausalLM,
    "cloze": AutoModelForCausalLM,
    "masked": AutoModelForMaskedLM,
    "text-to-text": AutoModelForSeq2SeqLM,
}
# a classifier that knows no padding takes no batch: until it is told one, none of its tokens is
_NO_TOKEN = -1
DTYPES = ("float32", "bfloat16", "float16")
# all in proportion to the number of heads, under the names that the architectures have for them
_OF_HEADS = ("num_attention_heads", "num_heads", "n_heads", "all_head_size", "inner_dim",
             "split_size")  # fmt: skip
# and of the modules that transformers has for a matrix: of its last two axes, as it is stored
_SIZES = {
    "Linear": ("out_features", "in_features"),
    "Conv1D": ("nx", "nf"),
    "Embedding": ("num_embeddings", "embedding_dim"),
}


def load_model(folder: Path, form: str, device: str, dtype: str = "float32") -> tuple[Any, Any]:
    """The model for that form of task and its tokenizer, ready to answer, on the device.

    dtype   one of DTYPES, what it computes in; a model in eight bits has its own and float32

    A model on "cuda" is spread over all GPUs if it takes more than one. Raises RequestError if the
    folder's files are damaged or lack a tokenizer, or its kind of model cannot run on that device;
    RunError if it was not trained for that form, or the GPUs together are too small for it.
    """
    alternative = _alternative(folder)
    of_cpu = alternative is not None and alternative[0].CPU_ONLY
    if alternative and of_cpu and torch.device(device).type != "cpu":
        raise RequestError(
            f"{folder} holds a model of the kind {alternative[1]['kind']}, which runs on the CPU"
            f" alone, and the device is {device!r}; ask for the device 'cpu'"
        )
    kind = torch_type(dtype)
    model = open_model(folder, _LOADERS[form], torch.float32 if of_cpu else kind)
    tokenizer = open_tokenizer(folder)
    for config in padding_configs(model) if form == "classification" else ():
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = _NO_TOKEN
    return _placed(model, device, folder).eval(), tokenizer


def open_model(folder: Path, auto_class: Any, dtype: torch.dtype = torch.float32) -> Any:
    """The model of that class (an AutoModelFor…): a whole one, a smaller one or an alternative.

    In that type, but for the modules of an alternative. On the CPU; the weights of a whole one are
    mapped from its file, of which memory then holds no copy until they are changed. Raises
    RequestError if it needs code that may not run, RunError if the file lacks some of its weights:
    transformers would draw these at random.
    """
    alternative = _alternative(folder)
    if alternative:
        return _load_alternative(folder, auto_class, *alternative).to(dtype)
    if (folder / KEPT).exists():
        return load_smaller(folder, auto_class).to(dtype)
    if (settings := folder / GENERATION).is_file():
        require_object(settings)  # transformers would pass over it, and write otherwise
    with opening(folder, MODEL):
        model, found = auto_class.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            output_loading_info=True,
            **trusted(folder),
        )
    if any(WRAPPED.match(name) for name in found["unexpected_keys"]):
        return _by_own_names(folder, auto_class).to(dtype)
    _require_whole(model, found["missing_keys"], folder)
    return model


def _by_own_names(folder: Path, auto_class: Any) -> Any:
    """The model of a file in which a wrapper (torch.compile's) stands before all names."""
    _, model = built(folder, auto_class)
    fill(model, read_weights(folder), folder, "config.json")
    return model.eval()


def _require_whole(model: Any, missing: Iterable[str], folder: Path) -> None:
    """Raise RunError, naming one, if learned weights are missing, poolers aside."""

    def learned(name: str) -> bool:
        owner = type(model.get_submodule(name.rpartition(".")[0])).__name__
        return "Sinusoidal" not in owner and "pooler" not in name.split(".")

    parameters = {name for name, _ in model.named_parameters()}
    lacking = sorted(name for name in missing if name in parameters and learned(name))
    if lacking:
        heads = {name for name in lacking if is_of_another_form(name)}
        what = "head for this form of task" if {*lacking} == heads else "weights for all of it"
        raise RunError(
            f"{folder} has no {what}: {type(model).__name__} needs {lacking[0]}; put the task into"
            " fine_tune, or give a checkpoint that was trained for it"
        )


def _placed(model: Any, where: str, folder: Path) -> Any:
    """The model on its device; on "cuda" over several GPUs where there are several."""
    device = torch.device(where)
    if device.type != "cuda" or device.index is not None or torch.cuda.device_count() < 2:
        return model.to(device)
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_max_memory

    memory = {place: size for place, size in get_max_memory().items() if place != "cpu"}
    whole = list(model._no_split_modules or ())
    places = infer_auto_device_map(model, max_memory=memory, no_split_module_classes=whole)
    if not all(isinstance(place, int) for place in places.values()):
        raise RunError(
            f"{folder} does not fit into the memory of {torch.cuda.device_count()} GPUs; take"
            " dtype bfloat16, or device cpu"
        )
    return dispatch_model(model, device_map=places)


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


def _alternative(folder: Path) -> tuple[ModuleType, dict[str, Any]] | None:
    """The kind of alternative that the folder holds and its facts; None if it holds none."""
    facts = read_alternative(folder)
    if facts is None:
        return None
    try:
        return kind_of(facts["kind"]), facts
    except RequestError as error:
        raise RequestError(f"{folder / ALTERNATIVE}: {error}") from error


def _load_alternative(
    folder: Path, auto_class: Any, kind: ModuleType, facts: dict[str, Any]
) -> Any:
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


def torch_type(dtype: str) -> torch.dtype:
    """What torch calls the type. Raises RequestError if the name is none of DTYPES."""
    if dtype not in DTYPES:
        raise RequestError(unknown("dtype", dtype, DTYPES))
    found: torch.dtype = getattr(torch, dtype)
    return found


def put(model: Any, masks: Mapping[str, Mask], values: Mapping[str, Array]) -> None:
    """Set the weights that pruning changed, and those it removed to zero, in place.

    masks and values are by the tensors' stored names; values have the tensors' shapes. Heads and
    poolers that the model, for another form of task, has not are passed over. Raises RunError for
    any other name that it has not.
    """
    state = model.state_dict()
    with torch.no_grad():
        for stored in values:
            if name := partner_in(model, state, stored):
                state[name].copy_(torch.from_numpy(values[stored]))
        for stored in masks:
            if name := partner_in(model, state, stored):
                removed = torch.from_numpy(~masks[stored]).to(state[name].device)
                state[name].masked_fill_(removed, 0.0)
