"""Which of a checkpoint's tensors are its parameters: buffers told apart, what is tied found."""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.checkpoints import naming
from analysis.checkpoints.config import config_of
from analysis.checkpoints.naming import Weight
from analysis.checkpoints.tensors import Bytes, Checkpoint, Dtype, Reader, Tensor
from analysis.errors import RequestError

_BLOCK = 1 << 22  # bytes compared at a time
# two models in one, which begin with the same values and then learn their own
_OF_TWO = ("encoder-decoder", "speech-encoder-decoder", "vision-encoder-decoder")
_PARAMETRIZED = re.compile(
    r"(?P<module>(?:.*\.)?)parametrizations\.(?P<own>\w+)\.original(?P<of_two>[01]?)"
)


@dataclass(frozen=True)
class Parameters:
    """A checkpoint's parameters, by the name they are stored under.

    weights    what each tensor of floating numbers is called, the tied ones among them
    left_out   tensors of integers that are no buffers: quantised weights, of which no statistics
               can be had without their scales
    """

    weights: Mapping[str, Weight]
    left_out: list[Tensor]

    @property
    def counted(self) -> dict[str, Weight]:
        """The parameters, each tied one once."""
        return {name: what for name, what in self.weights.items() if what.tied_to is None}

    @property
    def tied(self) -> dict[str, str]:
        """By name the tensors that repeat others, and which these are."""
        return {n: what.tied_to for n, what in self.weights.items() if what.tied_to is not None}


def parameters(checkpoint: Checkpoint, reader: Reader) -> Parameters:
    """The parameters of a checkpoint. Tensors that a model may tie are compared, byte by byte.

    Beside the names that `naming` knows, any two matrices outside the blocks with the same values
    are one that is tied, whatever an architecture calls it: embeddings, and heads over the
    vocabulary. Not so matrices of one value only, and what is made by a formula or begins alike:
    positions, types of tokens; nor, of a model of two such as BERT2BERT, the one's and the other's.

    Raises RequestError where torch makes weights anew at each call from others, which alone are
    stored.
    """
    tensors = checkpoint.tensors
    _require_plain(checkpoint.folder, tensors)
    compared = _Compared(tensors, reader, config_of(checkpoint.folder))
    floating = [name for name, tensor in tensors.items() if tensor.dtype.floating]
    left_out = [
        tensor
        for name, tensor in tensors.items()
        if not tensor.dtype.floating and tensor.dtype.name != "bool" and not naming.is_buffer(name)
    ]
    named = naming.weights(floating, compared.same)
    repeated = {what.tied_to for what in named.values()}
    alike: dict[tuple[Dtype, tuple[int, ...]], list[str]] = defaultdict(list)
    # those first that keep the values: what is repeated already, and embeddings before heads
    for name in sorted(named, key=lambda name: (name not in repeated, "embed" not in name, name)):
        tensor = tensors[name]
        if len(tensor.shape) == 2 and _may_be_tied(name, named[name]):
            alike[tensor.dtype, tensor.shape].append(name)
    for first, *others in alike.values():
        sources = [first]
        for name in others:
            source = next((source for source in sources if compared.same(name, source)), None)
            if source is None:
                sources.append(name)
            elif not compared.constant(name):
                named[name] = replace(named[name], tied_to=source)
    return Parameters(named, left_out)


def _require_plain(folder: Path, names: Iterable[str]) -> None:
    """Raise RequestError, naming a tensor and the call that mends it, unless weights are stored."""
    there = set(names)
    for name in sorted(there):
        if call := _made_anew(name, there):
            raise RequestError(
                f"{folder} holds {name}, of which torch makes a weight anew at each call; call"
                f" {call} for each such module, and save the model again"
            )


def _made_anew(name: str, there: Container[str]) -> str | None:
    """What undoes that torch has this tensor in place of a weight; None if it has not.

    weight_norm is left where it is no matrix's of a block: that is how convolutions are stored.
    """
    stem, _, last = name.rpartition("_")
    if last == "orig" and f"{stem}_mask" in there:
        return f"torch.nn.utils.prune.remove(module, '{stem.rpartition('.')[2]}')"
    if last == "orig" and f"{stem}_u" in there:
        return "torch.nn.utils.remove_spectral_norm(module)"
    if last == "g" and f"{stem}_v" in there and naming.weight(stem).prunable:
        return "torch.nn.utils.remove_weight_norm(module)"
    found = _PARAMETRIZED.fullmatch(name)
    if found and (not found["of_two"] or naming.weight(found["module"] + found["own"]).prunable):
        return f"torch.nn.utils.parametrize.remove_parametrizations(module, '{found['own']}')"
    return None


def _may_be_tied(name: str, what: Weight) -> bool:
    fixed = what.kind in ("position", "norm", "bias") or "token_type" in name
    return naming.block_of(name) is None and what.tied_to is None and not fixed


class _Compared:
    """What tensors hold, by name, read in blocks."""

    def __init__(self, tensors: Mapping[str, Tensor], reader: Reader, config: Mapping[str, object]):
        self._tensors, self._reader = tensors, reader
        self._of_two = config.get("model_type") in _OF_TWO

    def same(self, one: str, other: str) -> bool:
        """Whether two tensors hold the same values, and are not of two models."""
        a, b = self._tensors[one], self._tensors[other]
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        if self._of_two and one.split(".")[0] != other.split(".")[0]:
            return False
        return all(
            np.array_equal(self._read(a, start), self._read(b, start))
            for start in range(0, a.bytes, _BLOCK)
        )

    def constant(self, name: str) -> bool:
        """Whether all of a tensor is one value."""
        tensor = self._tensors[name]
        first = self._read(tensor, 0)[: tensor.dtype.bytes]
        return all(
            bool((self._read(tensor, start).reshape(-1, tensor.dtype.bytes) == first).all())
            for start in range(0, tensor.bytes, _BLOCK)
        )

    def _read(self, tensor: Tensor, start: int) -> Bytes:
        piece = np.empty(min(_BLOCK, tensor.bytes - start), np.uint8)
        self._reader.read(tensor, start, piece)
        return piece
