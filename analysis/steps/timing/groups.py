"""Variants measured side by side where not all of them fit into memory: in groups.

The dense model is in every group, so that what each variant is compared with was measured beside
it.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch

from analysis.engine.progress import track
from analysis.errors import RunError
from analysis.steps.timing.variants import Entry

Cell = tuple[Entry, str]  # and by which kernel it is run
Models = dict[Cell, Any]
Measured = TypeVar("Measured")

BESIDE = 1 << 30  # bytes: libraries, activations, what it takes to make one layer sparse


class Maker(Protocol):
    """Makes the models of cells, and knows what they take in memory."""

    def make(self, cell: Cell) -> Any | None:
        """The model; None if the kernel can do nothing for the variant."""
        ...

    def bytes_to_add(self, cell: Cell) -> int:
        """What `make` would add at most, given what is there."""
        ...

    def bytes_held(self, models: Mapping[Cell, Any]) -> int:
        """What these models take, and what is kept to make others."""
        ...


def allowed_bytes(device: str, memory_bytes: int | None) -> int | None:
    """What models may take: on a GPU what is free there, whatever the machine's memory."""
    return torch.cuda.mem_get_info()[0] if device == "cuda" else memory_bytes


def cells_of(entries: Sequence[Entry]) -> list[Cell]:
    """Each variant with each of its kernels."""
    return [(entry, kernel) for entry in entries for kernel in entry.kernels]


def require_fit(cells: Sequence[Cell], maker: Maker, memory_bytes: int | None) -> None:
    """Raise RunError if one of the cells does not fit beside the first."""
    if memory_bytes is None:
        return
    first, *others = cells
    dense = maker.bytes_to_add(first)
    for cell in others or [first]:
        own = maker.bytes_to_add(cell) if cell is not first else 0
        if dense + own + BESIDE > memory_bytes:
            raise RunError(
                f"{cell[0].name} cannot be timed ({cell[1]}) beside {first[0].name}: that takes"
                f" {_gb(dense)} + {_gb(own)} + {_gb(BESIDE)} for all else, and {_gb(memory_bytes)}"
                " are allowed; raise `compute: memory_gb` where there is more, or leave this model"
                " out"
            )


def in_groups(
    cells: Sequence[Cell],
    maker: Maker,
    memory_bytes: int | None,
    measure: Callable[[Models], Measured],
) -> list[Measured]:
    """What `measure` says of each group: the first cell, and as many others as fit, in order.

    None is no limit: all are one group. Raises RunError if a cell does not fit beside the first.
    """
    require_fit(cells, maker, memory_bytes)
    first, *waiting = cells
    dense, found = maker.make(first), []
    while True:
        models, waiting = _group({first: dense}, waiting, maker, memory_bytes)
        found.append(measure(models))
        models.clear()
        gc.collect()  # what is in cycles would be there beside the next group
        if not waiting:
            return found


def _group(
    models: Models, waiting: Sequence[Cell], maker: Maker, memory_bytes: int | None
) -> tuple[Models, list[Cell]]:
    """The models of the next group, and the cells that are left for later ones."""
    left = []
    for cell in track(waiting, "loading variants"):
        if memory_bytes is not None:
            needed = maker.bytes_held(models) + maker.bytes_to_add(cell) + BESIDE
            # alone it fits, as was seen before
            if needed > memory_bytes and len(models) > 1:
                left.append(cell)
                continue
        made = maker.make(cell)
        if made is not None:
            models[cell] = made
    return models, left


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
