"""The checkpoint of a folder: its tensors named and placed, without opening a model.

safetensors files are read by their offsets, so no more of a tensor is in memory than was asked
for, and nothing stays; a .bin is opened with `weights_only` and mapped into memory.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from analysis.checkpoints.config import no_model
from analysis.checkpoints.tensors import BY_NAME, DTYPES, Checkpoint, Dtype, Tensor
from analysis.errors import RequestError

SAFETENSORS = "model.safetensors"
PICKLE = "pytorch_model.bin"
_SHARDS = "model-*.safetensors"
_NAMES_SHOWN = 4
_WRAPPERS = ("state_dict", "model_state_dict", "model")
# what torch.compile and torch's DataParallel put before each name
WRAPPED = re.compile(r"(?:_orig_mod\.|module\.)+")
_POINTER = b"version https://git-lfs"


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder: safetensors if there are any, else a .bin; one file or shards.

    Raises RequestError if there is none, or a file is not whole.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder} is no folder; give the folder of a saved model")
    try:
        if why := no_model(folder):
            raise RequestError(why)
        found = _opened(folder)
        return replace(found, tensors=_without_wrappers(found.tensors))
    except OSError as error:
        raise RequestError(
            f"{folder} cannot be read: {error.strerror or error}; mend that, or copy the model"
        ) from error


def _opened(folder: Path) -> Checkpoint:
    for single, listed in ((SAFETENSORS, _safetensors), (PICKLE, _pickled)):
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            tensors = _together(folder, listed(folder / single))
            return Checkpoint(folder, tensors, (folder / single,))
        if index.is_file():
            named = _index(index)
            paths = [folder / name for name in sorted(set(named.values()))]
            tensors = _together(folder, (tensor for path in paths for tensor in listed(path)))
            for name, file in sorted(named.items()):
                if name not in tensors or tensors[name].path.name != file:
                    raise RequestError(
                        f"{index} names {name}, which {file} lacks; copy that file again"
                    )
            return Checkpoint(folder, tensors, tuple(paths))
    if shards := sorted(folder.glob(_SHARDS)):  # saved without an index
        found = _together(folder, (tensor for path in shards for tensor in _safetensors(path)))
        return Checkpoint(folder, found, tuple(shards))
    within = (path for name in (SAFETENSORS, PICKLE) for path in sorted(folder.glob(f"*/{name}*")))
    if found_in := next((path.parent for path in within), None):
        raise RequestError(
            f"{folder} holds no weights of its own, but those in {found_in.name} (a part of it, or"
            f" a state of its training): give {found_in}"
        )
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:_NAMES_SHOWN])
    raise RequestError(
        f"{folder} holds no weights: neither {SAFETENSORS} nor {PICKLE}, whole or in shards with"
        f" an .index.json, but {there or 'nothing'}; give the folder of a model saved whole"
    )


def _without_wrappers(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors by the model's own names, where a wrapper's word stands before all of them."""
    wrapped = {name: WRAPPED.match(name) for name in tensors}
    if not all(wrapped.values()):
        return tensors
    own = {name: name[match.end() :] for name, match in wrapped.items() if match}
    return {own[name]: replace(tensor, name=own[name]) for name, tensor in tensors.items()}


def _together(folder: Path, listed: Iterable[Tensor]) -> dict[str, Tensor]:
    """The tensors by sorted name, each of which is there once."""
    tensors: dict[str, Tensor] = {}
    for tensor in listed:
        if tensor.name in tensors:
            raise RequestError(
                f"{folder} holds {tensor.name} twice, in {tensors[tensor.name].path.name} and in"
                f" {tensor.path.name}; save the model again"
            )
        tensors[tensor.name] = tensor
    return dict(sorted(tensors.items()))


def _index(path: Path) -> dict[str, str]:
    """The file of each tensor that an index names, each of them beside it."""
    try:
        named = dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise RequestError(
            f"{path} is no index of shards ({error}); it needs a `weight_map` from tensors to"
            " files: save the model again"
        ) from error
    for name in named.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise RequestError(f"{path} names {name!r}, which is no file beside it")
        if not (path.parent / name).is_file():
            raise RequestError(
                f"{path} names {name}, which is not there; copy all shards into {path.parent}"
            )
    return named


def _safetensors(path: Path) -> Iterator[Tensor]:
    """The tensors of a safetensors file; the library has checked its header against its length."""
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_POINTER))
            if start == _POINTER:
                raise RequestError(
                    f"{path} is a pointer of git's large file storage, not the file; fetch it with"
                    " `git lfs pull`"
                )
            with safe_open(path, framework="numpy"):
                pass
            length = int.from_bytes(start[:8], "little")
            stream.seek(8)
            header: dict[str, Any] = json.loads(stream.read(length))
    except (SafetensorError, TypeError, OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read: {error}; save or copy it again") from error
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = DTYPES.get(entry["dtype"]) or Dtype(entry["dtype"].lower(), 0)
        begin, end = entry["data_offsets"]
        yield Tensor(name, dtype, tuple(entry["shape"]), path, end - begin, 8 + length + begin)


def _pickled(path: Path) -> Iterator[Tensor]:
    """The tensors of a file of torch's, mapped into memory; an old one, no zip, is loaded whole."""
    import warnings
    import zipfile

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, that are refused or hold tensors
            held = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except Exception as error:  # a damaged pickle raises whatever its opcodes run into
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        if reason.startswith("Weights only load failed"):  # what follows are paragraphs of advice
            reason = "it holds more than tensors"
        raise RequestError(
            f"{path} cannot be read as weights alone: {reason}; convert it to safetensors where"
            " you trust it"
        ) from error
    held = _unwrapped(held)
    if not isinstance(held, Mapping):
        raise RequestError(f"{path} holds a {type(held).__name__}, not tensors by name")
    for name, value in held.items():
        if not isinstance(value, torch.Tensor):
            continue  # a version, a configuration
        if value.is_quantized:
            value = value.int_repr()
        dtype = BY_NAME.get(str(value.dtype).removeprefix("torch."))
        plain = value.layout is torch.strided and not (value.is_nested or value.is_meta)
        if dtype is None or not plain:
            raise RequestError(
                f"{path}: {name} is a {value.layout} of {value.dtype}, which is not supported;"
                " save it dense"
            )
        if value.untyped_storage().nbytes() < value.numel() * dtype.bytes:
            raise RequestError(
                f"{path}: {name} has shape {tuple(value.shape)} and fewer values than that; save"
                " it in full"
            )
        flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        memory = flat.view(torch.uint8).numpy() if flat.numel() else np.empty(0, np.uint8)
        yield Tensor(str(name), dtype, tuple(value.shape), path, memory.size, memory=memory)


def _unwrapped(held: Any) -> Any:
    """The tensors by name of a training's checkpoint, which keeps them a level down."""
    inner = [held[key] for key in _WRAPPERS if isinstance(held, Mapping) and key in held]
    return inner[0] if inner and isinstance(inner[0], Mapping) else held
