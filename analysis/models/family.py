"""What a model that somebody names is, by its config alone: its family, its keys in a study."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from analysis.checkpoints.config import config_of, no_model
from analysis.errors import RequestError
from analysis.models.catalogue import BUILTIN

SHAPES = Path(__file__).parent / "shapes"
Family = Literal["encoder-only", "decoder-only", "encoder-decoder"]
_DECODERS = ("CausalLM", "LMHeadModel")  # classes, of types that are not known here
# whatever head a checkpoint of theirs has; DeBERTa and the like are told by their classes
_DECODER_TYPES = (
    "bloom", "codegen", "cohere", "ctrl", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2",
    "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "llama", "mistral", "mixtral", "mpt", "olmo",
    "olmo2", "openai-gpt", "opt", "persimmon", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3",
    "stablelm", "starcoder2", "xglm",
)  # fmt: skip


@dataclass(frozen=True)
class Described:
    """A model by name.

    name    that a study can have for it
    keys    of its entry in a study beside name, family and tasks
    config  its config.json; empty for a built-in one
    """

    name: str
    family: Family
    keys: dict[str, Any]
    config: dict[str, Any]


def described(model: str, revision: str | None = None) -> Described:
    """The built-in model of that name, the saved one in that folder, or the one on the hub.

    Raises RequestError if there is none; RunError if the hub cannot be asked.
    """
    if model in BUILTIN:
        return Described(model, cast(Family, BUILTIN[model].family), {}, {})
    if folder := folder_of(model):
        config = _config_of(folder)
        name = _name(folder.resolve().name)
        return Described(name, family_of(config), {"source": "local", "path": str(folder)}, config)
    config = _hub_config(model, revision)
    keys = {"source": "hub", "id": model, "revision": revision or "main"}
    return Described(_name(model.rpartition("/")[2]), family_of(config), keys, config)


def folder_of(model: str) -> Path | None:
    """The folder of that name, if there is one."""
    try:
        folder = Path(model).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a null
        return None


def family_of(config: dict[str, Any]) -> Family:
    """The family that a config.json describes."""
    if config.get("is_encoder_decoder") or config.get("decoder_layers"):
        return "encoder-decoder"
    classes = config.get("architectures") or []
    if config.get("model_type") in _DECODER_TYPES or config.get("is_decoder"):
        return "decoder-only"
    if any(name.endswith(_DECODERS) for name in classes):
        return "decoder-only"
    return "encoder-only"


def shape_file(model: str) -> Path | None:
    """What is shipped of a published model's shape."""
    shipped = SHAPES / f"{model.replace('/', '--')}.json"
    try:
        return shipped if shipped.is_file() else None
    except OSError:  # a name too long for a file
        return None


def shape_sha256(model: str) -> str:
    """The digest of what is shipped of a published model's shape; empty if nothing is."""
    shipped = shape_file(model)
    return hashlib.sha256(shipped.read_bytes()).hexdigest() if shipped else ""


def _hub_config(model: str, revision: str | None) -> dict[str, Any]:
    """Of models whose shapes are shipped it is known without asking."""
    if shipped := shape_file(model):
        known = json.loads(shipped.read_text(encoding="utf-8"))
        decoder = {"is_encoder_decoder": known["family"] == "encoder-decoder"}
        return {**known["config"], **decoder}
    from analysis.checkpoints.published import config_of

    return config_of(model, revision or "main")


def _config_of(folder: Path) -> dict[str, Any]:
    if found := config_of(folder):
        return found
    raise RequestError(
        no_model(folder)
        or f"{folder} holds no config.json that says anything; give the folder of a saved model"
    )


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text).strip("-._") or "model"
