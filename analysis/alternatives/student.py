"""A student of half the depth, made of its teacher's own blocks and distilled from it.

It begins as every other block of its teacher, and all that stands outside the blocks, as DistilBERT
does (Sanh et al. 2019, arXiv 1910.01108). It is a model of the teacher's own architecture, so that
any of its loaders opens it.
"""

import copy
import textwrap
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.checkpoints import naming
from analysis.errors import RequestError
from analysis.models.encoding import set_padding
from analysis.training.course import Course
from analysis.training.distillation import Distillation
from analysis.training.recovery import train_course

# attributes that count blocks; the first is every model's, whatever its config calls it
_ENCODER, _DECODERS = "num_hidden_layers", ("decoder_layers", "num_decoder_layers")
_SHOWN = 300  # characters of what torch says, which names every tensor
_BY_LAYER = ("layer_types",)  # lists with an entry for each block


def depths(config: Any) -> dict[str, int]:
    """How many blocks each stack has, by the config's attribute.

    Raises RequestError if the config has no such attributes.
    """
    names = [_ENCODER]
    if config.is_encoder_decoder:
        names += [name for name in _DECODERS if hasattr(config, name)][:1]
    found = {name: getattr(config, name, None) for name in names}
    if len(found) != 1 + config.is_encoder_decoder or not all(
        type(depth) is int and depth > 0 for depth in found.values()
    ):
        raise RequestError(
            f"the config of a {config.model_type} does not say how many blocks it has; allowed are"
            f" {_ENCODER}, and {' or '.join(_DECODERS)} beside it"
        )
    return cast(dict[str, int], found)


def halved(teacher: PreTrainedModel) -> PreTrainedModel:
    """A model of the blocks 0, 2, 4, … of each of the teacher's stacks, with the teacher's weights.

    A stack of n blocks keeps half of them, rounded up. Raises RequestError if no stack has two
    blocks, or the teacher's blocks are not laid out alike.
    """
    whole = depths(teacher.config)
    if max(whole.values()) < 2:
        raise RequestError(
            f"a {teacher.config.model_type} of one block has no half; distil a deeper model"
        )
    config = copy.deepcopy(teacher.config)
    for name, depth in whole.items():
        setattr(config, name, (depth + 1) // 2)
    for name in _BY_LAYER:
        if isinstance(getattr(config, name, None), list):
            setattr(config, name, getattr(config, name)[::2])
    student: Any = type(teacher)._from_config(config, dtype=teacher.dtype)
    if teacher.can_generate():
        student.generation_config = copy.deepcopy(teacher.generation_config)
    _untie(student, teacher)
    state = {}
    for name, tensor in teacher.state_dict().items():
        kept = _name_of_half(name)
        if kept is not None:
            state[kept] = tensor
    try:
        student.load_state_dict(state)
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), _SHOWN)
        raise RequestError(
            f"a {config.model_type} cannot be halved by its blocks: {reason}"
        ) from error
    return cast(PreTrainedModel, student.to(teacher.device).eval())


def _untie(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Part what the architecture ties and the teacher has apart, as T5 v1.1 has its head."""
    for name, source in student.all_tied_weights_keys.items():
        if teacher.get_parameter(name) is not teacher.get_parameter(source):
            module, _, own = name.rpartition(".")
            apart = nn.Parameter(torch.empty_like(student.get_parameter(name)))
            setattr(student.get_submodule(module), own, apart)


def _name_of_half(name: str) -> str | None:
    """What the student calls a tensor of its teacher; None where it has no such block."""
    block = naming.block_of(name)
    if block is None:
        return name
    path, _, number = block.rpartition(".")
    if int(number) % 2:
        return None
    return f"{path}.{int(number) // 2}{name[len(block) :]}"


def distil(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    course: Course,
) -> list[float]:
    """Train the student in place after the teacher and the labels; the loss of every step."""
    set_padding(teacher, tokenizer)
    pair = cast(PreTrainedModel, Distillation(student, teacher, course.form))
    return train_course(pair, tokenizer, course.read_by(student, tokenizer), [])
