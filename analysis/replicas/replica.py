"""Replicas of published models: their true shapes and settings, with random weights.

What is known of a published model stands in `shapes/ORG--NAME.json`:

family       "encoder-only", "decoder-only", "encoder-decoder"
config       the values of its config.json that decide its shape and what it computes
generation   those of its generation_config.json
stored       the class whose tensors its published file holds
tokens       of the longest text that its tokenizer makes
counted      `parameters` of which `class`, as published, or as the shape gives it
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel

from analysis.engine.files import replace_text, replaced_folder
from analysis.errors import RequestError, unknown
from analysis.models.classes import class_of
from analysis.models.family import SHAPES
from analysis.replicas.random_weights import write_random
from analysis.replicas.tokenizers import write_tokenizer
from analysis.storage.writing import unwritable

# by family, the forms of task that a model of it can answer
_FORMS = {
    "encoder-only": ["classification", "masked"],
    "decoder-only": ["classification", "causal", "cloze"],
    "encoder-decoder": ["classification", "text-to-text"],
}
_NO_CLASSIFIER = ("pegasus", "m2m_100")
_TINY_TOKENS = 128
_OFFSET = 2  # RoBERTa counts positions from the padding's id on
_WIDTH, _HEADS, _DEPTH = 32, 2, 2
_TINY = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "pooler_hidden_size"), _WIDTH),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers", "encoder_layers",
         "decoder_layers"),
        _DEPTH,
    ),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "num_heads", "encoder_attention_heads",
         "decoder_attention_heads"),
        _HEADS,
    ),
    **dict.fromkeys(("intermediate_size", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim"), 64),
    **dict.fromkeys(("d_kv", "attention_head_size"), _WIDTH // _HEADS),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), _TINY_TOKENS + _OFFSET),
}  # fmt: skip
_IDS = ("pad_token_id", "bos_token_id", "eos_token_id")
_FORCED = ("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")


def shapes() -> list[str]:
    """The hub ids of the models whose shapes are known, sorted."""
    return sorted(path.stem.replace("--", "/") for path in SHAPES.glob("*.json"))


def shape(hub_id: str) -> dict[str, Any]:
    """What is known of a published model. Raises RequestError, with the nearest, if nothing is."""
    if hub_id not in shapes():
        raise RequestError(unknown("published shape", hub_id, shapes()))
    text = (SHAPES / f"{hub_id.replace('/', '--')}.json").read_text(encoding="utf-8")
    known: dict[str, Any] = json.loads(text)
    return known


def forms(hub_id: str) -> list[str]:
    """The forms of task that the published model can be put to."""
    known = shape(hub_id)
    found = [*_FORMS[known["family"]]]
    if known["config"]["model_type"] in _NO_CLASSIFIER:
        found.remove("classification")
    return found


def write_replica(hub_id: str, out: Path, *, form: str, seed: int, tiny: bool) -> None:
    """Write to the folder `out` a replica that `from_pretrained` opens, in place of what is there.

    The weights are those of the class that is published: a head that it has not is drawn where the
    checkpoint is opened. The tokenizer is a small one; its special tokens' ids are in the config.
    A tiny replica has the same classes and settings at the least sizes.

    Raises RequestError if there is no such shape, or the form is none of its; RunError if the disk
    refuses.
    """
    known = _of_form(hub_id, form)
    try:
        with replaced_folder(out) as folder:
            _write(known, folder, seed, tiny)
    except OSError as error:
        raise unwritable(out, error) from error


def _write(known: Mapping[str, Any], folder: Path, seed: int, tiny: bool) -> None:
    config, generation = dict(known["config"]), dict(known["generation"])
    tokens = _TINY_TOKENS if tiny else known["tokens"]
    tokenizer = write_tokenizer(config["model_type"], tokens, folder)
    config |= _ids(config, tokenizer)
    if tiny:
        config |= {key: size for key, size in _TINY.items() if key in config}
        config["vocab_size"] = len(tokenizer)
        if "max_length" in generation:
            generation["max_length"] = min(_TINY_TOKENS, generation["max_length"])
    generation |= {key: config[key] for key in (*_IDS, *_FORCED) if key in config}
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", generation)
    write_random(empty(config, known["stored"]), folder, seed)


def _of_form(hub_id: str, form: str) -> dict[str, Any]:
    """The shape. Raises RequestError if the model has no head for the form."""
    if form not in forms(hub_id):
        raise RequestError(
            f"{hub_id} answers no tasks of the form {form!r}; allowed: {', '.join(forms(hub_id))}"
        )
    return shape(hub_id)


def _ids(config: Mapping[str, Any], tokenizer: Any) -> dict[str, int]:
    """The special tokens' ids by their keys in the config, where it has them.

    The tokens that a decoder begins and ends with keep the roles that they have in the config.
    """
    roles: dict[int, int] = {}
    for key in _IDS:
        if key in config and getattr(tokenizer, key) is not None:
            roles.setdefault(config[key], getattr(tokenizer, key))
    return {key: roles[config[key]] for key in (*_IDS, *_FORCED) if key in config}


def empty(config: Mapping[str, Any], class_name: str) -> PreTrainedModel:
    """The model on the meta device, where it takes no memory."""
    described = AutoConfig.for_model(**config)
    model_class = class_of(class_name)
    make = getattr(model_class, "from_config", None) or model_class._from_config
    with torch.device("meta"):
        model: PreTrainedModel = make(described, dtype=torch.float32)
    if config.get("tie_word_embeddings") is False and hasattr(model, "lm_head"):
        # transformers ties T5's all the same, and parts them where a file holds two
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.lm_head.weight))
        model.all_tied_weights_keys.pop("lm_head.weight", None)
    return model


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    replace_text(path, json.dumps(content, indent=2) + "\n")
