"""What the config.json of a saved model says, and what a folder is that is no saved model."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis.errors import RequestError, short

CONFIG = "config.json"
GENERATION = "generation_config.json"
_OF_A_MODEL = (".json", ".safetensors", ".bin", ".model", ".txt")
_SPARSE = ".sparse.safetensors"  # as `compress` names them


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_classes(value: Any) -> bool:
    return isinstance(value, dict) and all(str(place).lstrip("-").isdigit() for place in value)


_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "architectures": ("a list of names of classes", _are_names),
    "model_type": ("the name of an architecture", lambda value: isinstance(value, str)),
    "id2label": ("names by the numbers of classes", _are_classes),
    "num_labels": ("a whole number", _is_whole),
}


def config_of(folder: Path) -> dict[str, Any]:
    """The parsed config.json of a folder; empty where there is none. Raises RequestError if it is
    damaged."""
    path = folder / CONFIG
    return read_config(path) if path.is_file() else {}


def read_config(path: Path) -> dict[str, Any]:
    """A parsed config.json. Raises RequestError, naming the key or the line, if it is damaged."""
    require_object(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for key, (what, fits) in _KINDS.items():
        value = found.get(key)
        if value is not None and not fits(value):
            raise RequestError(
                f"{path}: {key!r} is {short(repr(value))}, and should be {what}; copy the model"
                " again, or save it again"
            )
    return found


def require_object(path: Path) -> None:
    """Raise RequestError, with the line, if a file of a model is no JSON object."""
    if why := why_no_object(path):
        raise RequestError(f"{path} {why}; copy the model again, or save it again")


def why_no_object(path: Path) -> str | None:
    """Why a file is no JSON object, as what is said after its name; None if it is one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        return f"is no JSON, line {error.lineno}: {error.msg}"
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    except RecursionError:
        return "is nested too deeply"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except ValueError as error:  # a number of thousands of digits
        return f"cannot be read: {error}"
    return None if isinstance(found, dict) else "is no JSON object"


def require_no_dead_links(folder: Path) -> None:
    """Raise RequestError for a file of a saved model that is a link to what is not there."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _OF_A_MODEL and path.is_symlink() and not path.exists():
            raise RequestError(
                f"{path} is a link to {path.readlink()}, which is not there; put the file in its"
                " place, or remove the link"
            )


def no_model(folder: Path) -> str | None:
    """What a folder holds in place of weights, and how it becomes a model; None if it has some, or
    nothing is known."""
    if any(
        path.name.startswith(("model", "pytorch_model")) and not path.name.endswith(_SPARSE)
        for ending in ("*.safetensors", "*.bin")
        for path in folder.glob(ending)
    ):
        return None
    if (folder / "adapter_config.json").is_file():
        return (
            f"{folder} holds an adapter of PEFT, which is no model of its own; merge it first: open"
            " it with peft.AutoPeftModel (…ForCausalLM, …ForSequenceClassification), call"
            " merge_and_unload(), and save what that gives, with the tokenizer"
        )
    if any(folder.glob(f"*{_SPARSE}")):
        return (
            f"{folder} is compressed; give back the model first: `python -m analysis decompress"
            f" {folder} --out NEW`, and name that folder"
        )
    return None
