"""Runs a model over calibration batches block by block, stopping before each block.

Every batch's forward pass is a greenlet that halts where a block is entered. With all of them there
the block is run once for its statistics; what the caller then changes in its weights is what the
halted passes run on. So each block sees the outputs of those already pruned, encoders come before
decoders, and whatever a block is handed (masks, position biases, the encoder's states) is what the
model itself hands it. Only the batches' states between two blocks are kept.
"""

import functools
from collections.abc import Generator, Iterable, Sequence
from typing import Any

from greenlet import getcurrent, greenlet
from torch import Tensor, nn
from transformers import PreTrainedModel

from analysis.calibration.inputs import Inputs, Sums
from analysis.calibration.matrices import Matrix
from analysis.errors import RunError
from analysis.models.encoding import Batch
from analysis.progress import track

Halt = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]  # the block, and what it is called with


def blocks(
    model: PreTrainedModel, batches: Sequence[Batch], matrices: Iterable[Matrix], products: bool
) -> Generator[dict[str, Inputs]]:
    """For each block in the order of the computation, the inputs of its matrices by name.

    `products` asks for XᵀX too. A block that a model runs several times (ALBERT's) is given once,
    at its first time. Raises RunError if a matrix never ran or its inputs are not finite.
    """
    of_block: dict[nn.Module, list[Matrix]] = {}
    for matrix in matrices:
        of_block.setdefault(model.get_submodule(matrix.block), []).append(matrix)
    model.requires_grad_(False)
    for part in model.modules():  # T5's stacks have configurations of their own
        if config := getattr(part, "config", None):
            config.use_cache = False  # a block that runs twice would find its own tokens there
    hooks = [block.register_forward_pre_hook(_halt, with_kwargs=True) for block in of_block]
    passes = [greenlet(functools.partial(model.base_model, **batch)) for batch in batches]
    waiting = dict.fromkeys(of_block)
    steps = track(range(len(of_block)), "calibrating, blocks:")
    try:
        halts = [one.switch() for one in passes]
        while waiting:
            if any(one.dead for one in passes):
                unseen = of_block[next(iter(waiting))][0]
                raise RunError(f"{unseen.name} has no inputs: calibration never reached its block")
            block = halts[0][0]
            if block in waiting:
                next(steps)
                del waiting[block]
                yield _inputs(halts, batches, of_block[block], products)
            if waiting:
                halts = [one.switch() for one in passes]
        next(steps, None)
    finally:
        for hook in hooks:
            hook.remove()
        for one in passes:
            if one:  # halted: what follows the last block is not wanted
                one.throw()


def _halt(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    getcurrent().parent.switch((block, args, kwargs))


def _inputs(
    halts: Sequence[Halt], batches: Sequence[Batch], matrices: Sequence[Matrix], products: bool
) -> dict[str, Inputs]:
    """Run the halted block on every batch, adding up what goes into its matrices."""
    sums: dict[str, Sums] = {}
    for (block, args, kwargs), batch in zip(halts, batches, strict=True):
        positions = kwargs.get("rel_embeddings")
        entered: list[tuple[Tensor, bool, Sums]] = []  # a query's inputs are a key's: add up once
        hooks = [
            matrix.module.register_forward_pre_hook(
                functools.partial(_add, matrix, batch, sums, entered, products, positions)
            )
            for matrix in matrices
        ]
        try:
            block.forward(*args, **kwargs)  # past the hook that halts
        finally:
            for hook in hooks:
                hook.remove()
    found = {name: total for name, one in sums.items() if (total := one.total())}
    for matrix in matrices:
        if matrix.name not in found:
            raise RunError(f"{matrix.name} has no inputs: no calibration token went through it")
        if not found[matrix.name].squares.isfinite().all():
            raise RunError(f"{matrix.name}: its inputs are not finite; the model is broken")
    return found


def _add(
    matrix: Matrix,
    batch: Batch,
    sums: dict[str, Sums],
    entered: list[tuple[Tensor, bool, Sums]],
    products: bool,
    positions: Tensor | None,
    module: nn.Module,
    args: tuple[Any, ...],
) -> None:
    x: Tensor = args[0]
    if positions is not None and _share_memory(x, positions):
        return  # DeBERTa projects relative positions by its queries' and keys' matrices: no tokens
    for seen, from_encoder, shared in entered:
        if seen is x and from_encoder == matrix.from_encoder:
            sums[matrix.name] = shared
            return
    own = sums.setdefault(matrix.name, Sums(products))
    own.add(_real(matrix, x, batch))
    entered.append((x, matrix.from_encoder, own))


def _share_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _real(matrix: Matrix, x: Tensor, batch: Batch) -> Tensor:
    """The rows of tokens, without those of padding."""
    side = "attention_mask" if matrix.from_encoder else "decoder_attention_mask"
    mask = batch.get(side, batch["attention_mask"]).reshape(-1).bool()
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) != len(mask):
        raise RunError(
            f"{matrix.name} gets {len(rows)} rows for {len(mask)} tokens, so padding cannot be told"
            " apart (experts that see some tokens only?); leave it out, or take a method that looks"
            " at weights alone"
        )
    return rows if mask.all() else rows[mask]
