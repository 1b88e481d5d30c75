"""Random weights as an architecture initialises them, written block by block.

A model on torch's meta device has no values. Its blocks, and outside them its modules, get theirs
one after the other, from the architecture's own rule (norms one, biases zero, the standard
deviations of the config); each is written and let go before the next.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from analysis.checkpoints.weights import FILE
from analysis.engine.files import replace_text, replaced_file
from analysis.errors import RunError
from analysis.storage.container import header_text
from analysis.storage.dtypes import Spec
from analysis.storage.writing import unwritable

SHARD_BYTES = 5_000_000_000  # of tensors in one file, as the hub's have


@dataclass(frozen=True)
class _Unit:
    """A module that is given its values at once: with all that is in it, or its own tensors alone.

    path   of the module in the model
    """

    path: str
    module: nn.Module
    whole: bool

    def owners(self) -> list[tuple[str, nn.Module]]:
        """The modules whose tensors these are, by path, each after those in it."""
        if not self.whole:
            return [(self.path, self.module)]
        inside = [
            (f"{self.path}.{name}" if name else self.path, module)
            for name, module in self.module.named_modules()
        ]
        return inside[::-1]


def stored(model: PreTrainedModel) -> dict[str, nn.Parameter]:
    """The parameters that a checkpoint of the model holds, in the order in which they are drawn.

    What is tied is there once, and positions that are computed, not learnt, are not.
    """
    tied = set(model.all_tied_weights_keys)
    return {
        name: parameter
        for unit in _units(model)
        for path, module in unit.owners()
        for own, parameter in module.named_parameters(recurse=False)
        if (name := f"{path}.{own}" if path else own) not in tied and parameter.requires_grad
    }


def write_random(
    model: PreTrainedModel, out: Path, seed: int, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write float32 weights for a model on the meta device to safetensors files in `out`.

    The same seed makes the same files. At most a block and the largest other tensor are in memory.
    Raises RunError if the disk refuses.
    """
    sizes = {name: tuple(parameter.shape) for name, parameter in stored(model).items()}
    shards: list[dict[str, Spec]] = [{}]
    for name, shape in sizes.items():
        spec = Spec("F32", shape, 4 * torch.Size(shape).numel())
        if shards[-1] and sum(s.bytes for s in shards[-1].values()) + spec.bytes > shard_bytes:
            shards.append({})
        shards[-1][name] = spec
    names = [FILE]
    if len(shards) > 1:
        stem, _, suffix = FILE.rpartition(".")
        count = len(shards)
        names = [f"{stem}-{i:05}-of-{count:05}.{suffix}" for i in range(1, count + 1)]
        placed = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        total = sum(spec.bytes for shard in shards for spec in shard.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))}
        replace_text(out / f"{FILE}.index.json", json.dumps(index, indent=2) + "\n")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        values = _drawn(model, set(sizes))
        for file, shard in zip(names, shards, strict=True):
            _write(out / file, shard, values)
        for name, _ in values:  # to its end, where the model gets back what it had
            raise RunError(f"{name} was drawn and is in no file; report this")


def _write(path: Path, shard: dict[str, Spec], values: Iterator[tuple[str, Tensor]]) -> None:
    text = header_text(shard, {"format": "pt"})
    try:
        with replaced_file(path) as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            for name in shard:
                drawn, tensor = next(values)
                if drawn != name:
                    raise RunError(f"{drawn} was drawn in place of {name}; report this")
                stream.write(tensor.contiguous().numpy().data)
    except OSError as error:
        raise unwritable(path, error) from error


def _drawn(model: PreTrainedModel, names: set[str]) -> Iterator[tuple[str, Tensor]]:
    """The parameters of these names with their values, in the order of `stored`."""
    for unit in _units(model):
        owners = unit.owners()
        empty = [(path, module, dict(module._parameters)) for path, module in owners]
        for path, module, parameters in empty:
            for own, parameter in parameters.items():
                if parameter is not None and (f"{path}.{own}" if path else own) in names:
                    module._parameters[own] = nn.Parameter(
                        torch.empty(parameter.shape, dtype=torch.float32)
                    )
        for _, module in owners:  # what holds others may set theirs anew
            model._init_weights(module)
        for path, module, parameters in empty:
            for own in parameters:
                name = f"{path}.{own}" if path else own
                if name in names:
                    yield name, module.get_parameter(own).data
            module._parameters.update(parameters)


def _units(module: nn.Module, path: str = "") -> Iterator[_Unit]:
    """Blocks whole, which lie in lists; all that is outside them module by module, children first.

    The order is that in which the modules were made.
    """
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        if isinstance(child, nn.ModuleList):
            for number, block in child.named_children():
                yield _Unit(f"{below}.{number}", block, whole=True)
        else:
            yield from _units(child, below)
    yield _Unit(path, module, whole=False)
