"""Variants loaded to be run side by side, each tensor in memory once.

What a model is run as is made of what stands in its files; only what pruning changed is anew.
"""

import copy
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.tensors import Checkpoint
from analysis.engine.objects import Objects
from analysis.execution.choice import Choose, always
from analysis.execution.convert import LEAST_SPARSITY, extra_bytes, replaceable, sparsify
from analysis.execution.csr import Csr
from analysis.execution.names import AUTO, DENSE, INT8, TILED_CSR, TORCH_CSR
from analysis.models.filling import partner_in
from analysis.models.loading import load_model
from analysis.models.tokenizing import open_tokenizer
from analysis.pruning.masks import Pruned, number_kept, read_pruned
from analysis.steps.timing.groups import Cell
from analysis.steps.timing.variants import Entry

CONVERTED = (AUTO, TORCH_CSR, TILED_CSR)
_FLOAT = _INDEX = 4  # bytes: models run in float32 whatever their files hold


class Loader:
    """Loads variants for one form of task, to be run side by side.

    Variants by masks share what they have in common for as long as one of them is there: with their
    checkpoint, which stays, the tensors that pruning left alone; among the kernels of a variant its
    pruned matrices, dense or as non-zeros.
    """

    def __init__(self, objects: Objects, form: str, device: str):
        self._objects, self._form, self._device = objects, form, device
        self._whole: dict[str, Any] = {}
        self._last: tuple[str, Pruned] | None = None
        self._tensors: WeakValueDictionary[tuple[str, str], Tensor] = WeakValueDictionary()
        self._matrices: WeakValueDictionary[tuple[str, str], Csr] = WeakValueDictionary()

    def model(self, entry: Entry) -> Any:
        """The variant with its zeros among its weights, a model of its own."""
        return self.another().runnable(entry, DENSE, always(DENSE))

    def another(self) -> "Loader":
        """A loader of the same that has loaded nothing: what it makes shares with nothing else."""
        return Loader(self._objects, self._form, self._device)

    def tokenizer(self, entry: Entry) -> Any:
        return _tokenizer(self._objects.open(entry.checkpoint))

    def runnable(
        self, entry: Entry, kernel: str, choose: Choose, tokens: Sequence[int] = (1,)
    ) -> Any | None:
        """The variant as that kernel runs it; None if the kernel can do nothing for it here.

        `choose` names the layers' kernels for inputs of so many tokens where the kernel is `AUTO`.
        """
        if kernel == INT8 and self._device != "cpu":
            return None
        if entry.masks is None:
            found = self._whole.get(entry.checkpoint)
            return self._load(entry.checkpoint) if found is None else found
        pruned, model = self._pruned(entry.masks), self._sharing(entry.checkpoint)
        state, places = model.state_dict(keep_vars=True), _places(model)
        chosen = choose if kernel == AUTO else always(kernel)
        able, converted = set(replaceable(model)), []
        for name in sorted({*pruned.masks, *pruned.values}):
            own = partner_in(model, state, name)
            if own is None:
                continue
            key, there = (entry.masks, name), places[id(state[own])]
            tensor = self._tensor(key, state[own], pruned)
            for path, attribute in there:
                setattr(model.get_submodule(path), attribute, tensor)
            if kernel in CONVERTED:  # one after another: only this one is there in both forms
                del tensor
                of = functools.partial(self._matrix, key)
                layers = [path for path, _ in there if path in able]
                converted += sparsify(model, chosen, tokens, layers, of)
        return model if converted or kernel not in (TORCH_CSR, TILED_CSR) else None

    def whole(self, checkpoint: str) -> Any:
        """The model of the checkpoint as it is, which stays."""
        if checkpoint not in self._whole:
            self._whole[checkpoint] = self._load(checkpoint)
        return self._whole[checkpoint]

    def bytes_of_whole(self, checkpoint: str) -> int:
        """What the checkpoint's tensors take in memory."""
        tensors = self._opened(checkpoint).tensors.values()
        return sum(t.size * _FLOAT if t.dtype.floating else t.bytes for t in tensors)

    def bytes_to_add(
        self, entry: Entry, kernel: str, tokens: Sequence[int] = (1,), there: Sequence[str] = ()
    ) -> int:
        """What `runnable` would add to memory at most, given what is there to share: with `there`,
        as if these checkpoints were loaded."""
        here = entry.checkpoint in {*self._whole, *there}
        total = 0 if here else self.bytes_of_whole(entry.checkpoint)
        if entry.masks is None:
            return total
        tensors = self._opened(entry.checkpoint).tensors
        for name, kept in _kept(self._objects.open(entry.masks)).items():
            key, shape = (entry.masks, name), tensors[name].shape
            size = math.prod(shape)
            whole = dense = size * _FLOAT
            sparse = kept * (_FLOAT + _INDEX) + (max(shape, default=0) + 1) * _INDEX
            dense = 0 if key in self._tensors else dense
            sparse = 0 if key in self._matrices else sparse
            if kernel not in CONVERTED or len(shape) != 2 or size - kept < LEAST_SPARSITY * size:
                total += dense
            elif kernel != AUTO:
                total += sparse
            else:  # a layer that goes by both has a dense form of its own
                total += max(dense, sparse) if len(set(tokens)) == 1 else whole + sparse
        return total

    def bytes_held(self, models: Mapping[Cell, Any]) -> int:
        """What these variants take in memory, what they share and what stays among it."""
        shared = sum(tensor.nbytes for tensor in list(self._tensors.values()))
        shared += sum(matrix.bytes for matrix in list(self._matrices.values()))
        others = {entry.checkpoint for entry, _ in models if entry.masks is None}
        whole = sum(self.bytes_of_whole(checkpoint) for checkpoint in others | {*self._whole})
        return whole + shared + sum(extra_bytes(model) for model in models.values())

    def _pruned(self, masks: str) -> Pruned:
        """What an object of masks holds; the last stays, as kernels of a variant come in turn."""
        if self._last is None or self._last[0] != masks:
            self._last = masks, read_pruned(self._objects.open(masks))
        return self._last[1]

    def _opened(self, checkpoint: str) -> Checkpoint:
        return _opened(self._objects.open(checkpoint))

    def _load(self, checkpoint: str) -> Any:
        """The model, in memory of its own as pruned ones are: a file's is slower at first, and does
        not count."""
        model = load_model(self._objects.open(checkpoint), self._form, self._device)[0]
        if self._device == "cpu":
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.data = tensor.data.clone()
        return model

    def _sharing(self, checkpoint: str) -> Any:
        """Another model of the checkpoint's tensors."""
        model = self.whole(checkpoint)
        tensors = (*model.parameters(), *model.buffers())
        return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})

    def _tensor(self, key: tuple[str, str], whole: Tensor, pruned: Pruned) -> Tensor:
        """What pruning left of a tensor."""
        found = self._tensors.get(key)
        if found is None:
            name, data = key[1], whole.detach()
            if name in pruned.values:
                data = torch.from_numpy(pruned.values[name]).to(data.device, data.dtype)
            if name in pruned.masks:
                mask = torch.from_numpy(pruned.masks[name]).to(data.device)
                data = torch.where(mask, data, data.new_zeros(()))
            found = data
            if isinstance(whole, torch.nn.Parameter):
                found = torch.nn.Parameter(data, whole.requires_grad)
            self._tensors[key] = found
        return found

    def _matrix(self, key: tuple[str, str], weight: Tensor) -> Csr:
        """The non-zeros of a pruned matrix."""
        found = self._matrices.get(key)
        if found is None:
            found = self._matrices[key] = Csr.of(weight)
        return found


class SideBySide:
    """Makes variants that share what they can; the first of them, the dense one, stays."""

    def __init__(self, loader: Loader, dense: Entry, choose: Choose, tokens: Sequence[int]):
        self._loader, self._dense = loader, dense
        self._choose, self._tokens = choose, tokens

    def make(self, cell: Cell) -> Any | None:
        entry, kernel = cell
        self._loader.whole(self._dense.checkpoint)
        return self._loader.runnable(entry, kernel, self._choose, self._tokens)

    def bytes_to_add(self, cell: Cell) -> int:
        entry, kernel = cell
        if entry == self._dense:
            return self._loader.bytes_of_whole(entry.checkpoint)
        there = (self._dense.checkpoint,)
        return self._loader.bytes_to_add(entry, kernel, self._tokens, there)

    def bytes_held(self, models: Mapping[Cell, Any]) -> int:
        return self._loader.bytes_held(models)


def _places(model: Any) -> dict[int, list[tuple[str, str]]]:
    """For each tensor (by id) the paths of the modules that have it, and under what name."""
    found: dict[int, list[tuple[str, str]]] = {}
    for path, module in model.named_modules():
        own = {"recurse": False, "remove_duplicate": False}
        for name, tensor in (*module.named_parameters(**own), *module.named_buffers(**own)):
            found.setdefault(id(tensor), []).append((path, name))
    return found


@functools.lru_cache(maxsize=64)
def _tokenizer(folder: Path) -> Any:
    return open_tokenizer(folder)


@functools.lru_cache(maxsize=64)
def _opened(folder: Path) -> Checkpoint:
    return open_checkpoint(folder)


@functools.lru_cache(maxsize=64)
def _kept(path: Path) -> Mapping[str, int]:
    return number_kept(path)
