"""A folder's checkpoint as all that looks at its weights takes it.

Its parameters are named, what is tied is found by content whatever the files, and counts once.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.checkpoints.axes import stored_by_input
from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.config import config_of
from analysis.checkpoints.naming import Weight
from analysis.checkpoints.parameters import Parameters, parameters
from analysis.checkpoints.tensors import Checkpoint, Dtype, Reader
from analysis.checkpoints.weights import Unread, narrowed, require_finite
from analysis.checkpoints.widening import from_bytes
from analysis.engine.arrays import Array


@dataclass(frozen=True)
class Opened:
    """A checkpoint, open.

    parameters   all of them, the tied ones too
    tensors      all that is stored, buffers and the tied too, as numbers: floats as float64 if they
                 are stored so, else as float32, both exact; each is read whenever it is asked for
                 and not kept, and threads may share them
    named        the parameters that count, each tied one once, by sorted stored name
    weights      the numbers of these alone
    by_input     the names of the matrices that are stored [in, out] (see `axes`)
    config       the parsed config.json; empty if there is none
    """

    checkpoint: Checkpoint
    reader: Reader
    parameters: Parameters
    tensors: Mapping[str, Array]
    named: Mapping[str, Weight]
    weights: Mapping[str, Array]
    by_input: frozenset[str]
    config: Mapping[str, Any]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of weights of each parameter that counts."""
        return {name: self.checkpoint.tensors[name].size for name in self.named}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter that counts."""
        return {name: self.checkpoint.tensors[name].shape for name in self.named}

    @property
    def dtypes(self) -> dict[str, Dtype]:
        """The type that each parameter that counts is stored in."""
        return {name: self.checkpoint.tensors[name].dtype for name in self.named}

    def as_stored(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """New values of these tensors as the checkpoint's own types hold them, as numbers.

        Raises RunError, naming the tensor, if one is not finite, or not in its type.
        """
        require_finite(values, values)
        dtypes = self.dtypes
        return {
            name: from_bytes(narrowed(name, array, dtypes[name]), dtypes[name]).reshape(array.shape)
            for name, array in values.items()
        }


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Opened]:
    """The checkpoint in a folder. Raises RequestError if there is none, or it cannot be read."""
    checkpoint, config = open_checkpoint(folder), config_of(folder)
    with Reader(checkpoint) as reader:
        found = parameters(checkpoint, reader)
        counted = {name: checkpoint.tensors[name] for name in found.counted}
        shapes = {name: tensor.shape for name, tensor in counted.items()}
        yield Opened(
            checkpoint,
            reader,
            found,
            Unread(checkpoint.tensors, reader),
            found.counted,
            Unread(counted, reader),
            stored_by_input(shapes, config),
            config,
        )
