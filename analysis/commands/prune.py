"""Prunes one model: a checkpoint that `from_pretrained` opens, and pruning.json beside it."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from analysis import files, progress, pruning, sources
from analysis.arrays import Mask
from analysis.commands.work import at_work
from analysis.errors import RequestError, RunError
from analysis.models.checkpoint import SAFETENSORS, open_checkpoint
from analysis.models.parameters import Parameters, parameters
from analysis.models.tensors import Bytes, Checkpoint, Reader, Tensor
from analysis.models.weights import require_finite
from analysis.models.widening import widened
from analysis.pruning import kernels
from analysis.pruning.bitmaps import packed
from analysis.pruning.choice import in_scope
from analysis.pruning.scope import Scope, stored_by_input
from analysis.pruning.selection import Selection

_FACTS = "pruning.json"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ot")


@dataclass(frozen=True)
class Request:
    """What is asked for: `include` and `exclude` are globs over the tensors' stored names.

    With `include`, the tensors that it matches are in scope in place of the method's own choice;
    what `exclude` matches is left out.
    """

    method: str
    sparsity: float
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    seed: int = 0


def prune(model: str, revision: str | None, request: Request, out: Path) -> None:
    """Write the pruned model to the folder `out`.

    Raises RequestError if there is no such model, method or tensor, or `out` is not empty; RunError
    if weights are not finite or the disk refuses.
    """
    module = pruning.method(request.method)
    if not 0 < request.sparsity < 1:
        raise RequestError(
            f"--sparsity {request.sparsity:g} is not above 0 and below 1; it is the fraction"
            " removed: for 50 % write 0.5"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"--out {out} is there already; name a new folder")
    start = time.perf_counter()
    with at_work(model) as (memo, shown):
        located = sources.locate(model, revision, memo)
        checkpoint = open_checkpoint(located.folder)
        with Reader(checkpoint) as reader:
            found = parameters(checkpoint, reader)
            names = in_scope(found.counted, module.in_scope, request.include, request.exclude)
            weights = {
                name: widened(reader, checkpoint.tensors[name])
                for name in progress.track(names, "tensors read:")
            }
            require_finite(weights, names)
            shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
            scope = Scope(weights, stored_by_input(shapes), request.seed)
            (selection,) = module.select(scope, [request.sparsity])
            content = _content(checkpoint, reader, found, selection.masks)
        facts = {
            "model": located.name,
            "source": located.source,
            "revision": located.revision,
            **_facts(request, found, content, selection, scope),
            "seconds": round(time.perf_counter() - start, 2),
        }
        _write(out, located.folder, content, facts)
        shown.say(
            f"{located.name} pruned by {request.method}: {facts['achieved']:.2%} of"
            f" {facts['scope_weights']:,} weights in scope, {facts['whole_model']:.2%} of"
            f" {facts['parameters']:,} in all, are zero"
        )
        shown.say(f"written to {out} after {time.perf_counter() - start:.1f} s")


def _content(
    checkpoint: Checkpoint, reader: Reader, found: Parameters, masks: Mapping[str, Mask]
) -> dict[str, tuple[Tensor, Bytes]]:
    """Every tensor's bytes, the removed weights zero; what is tied is pruned like its source."""
    content = {}
    for name, tensor in checkpoint.tensors.items():
        raw = np.empty(tensor.bytes, np.uint8)
        reader.read(tensor, 0, raw)
        what = found.weights.get(name)
        source = name if what is None or what.tied_to is None else what.tied_to
        if source in masks:
            numbers = raw.view(f"u{tensor.dtype.bytes}")  # zero is all bits zero in every float
            kernels.zero_removed(numbers, packed(masks, source))
        content[name] = (tensor, raw)
    return content


def _facts(
    request: Request,
    found: Parameters,
    content: Mapping[str, tuple[Tensor, Bytes]],
    selection: Selection,
    scope: Scope,
) -> dict[str, Any]:
    zeros = {name: _zeros(*content[name]) for name in found.counted}
    sizes = {name: content[name][0].size for name in found.counted}
    inside = sum(sizes[name] for name in scope.weights)
    whole = sum(sizes.values())
    return {
        "method": request.method,
        "sparsity": request.sparsity,
        "seed": request.seed,
        "include": list(request.include),
        "exclude": list(request.exclude),
        "threshold": selection.threshold,
        "scope_weights": inside,
        "achieved": sum(zeros[name] for name in scope.weights) / inside,
        "parameters": whole,
        "whole_model": sum(zeros.values()) / whole,
        "tensors": {name: {"weights": sizes[name], "zeros": zeros[name]} for name in scope.weights},
        "tied": {n: w.tied_to for n, w in found.weights.items() if w.tied_to is not None},
    }


def _zeros(tensor: Tensor, raw: Bytes) -> int:
    """Exact zeros of either sign."""
    numbers = raw.view(f"u{tensor.dtype.bytes}")
    signless = numbers & numbers.dtype.type((1 << (8 * tensor.dtype.bytes - 1)) - 1)
    return int(numbers.size - np.count_nonzero(signless))


def _write(
    out: Path, model: Path, content: Mapping[str, tuple[Tensor, Bytes]], facts: Mapping[str, Any]
) -> None:
    """Write weights, facts, and the model's other files (configuration, tokenizer)."""
    specs = {  # addresses into `content`, which outlives them
        name: safetensors.TensorSpec(
            dtype=tensor.dtype.name,
            shape=list(tensor.shape),
            data_ptr=raw.ctypes.data,
            data_len=raw.size,
        )
        for name, (tensor, raw) in content.items()
    }
    try:
        with files.replaced_folder(out) as folder:
            for path in sorted(model.iterdir()):
                weights = path.suffix in _WEIGHTS or path.name.endswith(".index.json")
                if path.is_file() and not weights:
                    shutil.copyfile(path, folder / path.name)
            safetensors.serialize_file(specs, folder / SAFETENSORS, {"format": "pt"})
            text = json.dumps(facts, indent=2, ensure_ascii=False)
            (folder / _FACTS).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"cannot write the model to {out}: {error.strerror or error}; make room or give this"
            " user the right to write there"
        ) from error


def list_methods() -> list[str]:
    """A line for each method: its name, and what it does."""
    return [
        f"{name:<16} {(pruning.method(name).__doc__ or '').splitlines()[0]}"
        for name in pruning.names()
    ]
