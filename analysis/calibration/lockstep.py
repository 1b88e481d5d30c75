"""Runs a model over calibration batches block by block, stopping before each block.

Every batch's forward pass is a greenlet that halts where a block is entered. With all of them there
the block is run once for its statistics; what the caller then changes in its weights is what the
halted passes run on. So each block sees the outputs of those already pruned, encoders come before
decoders, and whatever a block is handed (masks, position biases, the encoder's states) is what the
model itself hands it. Only the batches' states between two blocks are kept.

A block that a model runs several times (ALBERT's) is there once, with the inputs of all its times:
they are those of whole passes, in which it is still as it was; then the passes begin anew.
"""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from typing import Any

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor, nn
from transformers import PreTrainedModel

from analysis.calibration.inputs import Inputs, Sums
from analysis.calibration.matrices import Matrix
from analysis.calibration.padding import Blocks, Entering, real, told_apart, without_padding
from analysis.checkpoints.choice import excluding
from analysis.engine.progress import track
from analysis.errors import RunError
from analysis.models.encoding import Batch

Halt = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]  # the block, and what it is called with


def blocks(
    model: PreTrainedModel, batches: Sequence[Batch], matrices: Iterable[Matrix], products: bool
) -> Generator[dict[str, Inputs]]:
    """For each block in the order of the computation, the inputs of its matrices by name.

    `products` asks for XᵀX too. Raises RunError if a matrix never ran, or its inputs are not finite
    or cannot be told from padding.
    """
    of_block: dict[nn.Module, list[Matrix]] = {}
    for matrix in matrices:
        of_block.setdefault(model.get_submodule(matrix.block), []).append(matrix)
    model.requires_grad_(False)
    for part in model.modules():  # T5's stacks have configurations of their own
        if config := getattr(part, "config", None):
            config.use_cache = False  # a block that runs twice would find its own tokens there
    run_on = told_apart(model, batches, of_block)
    repeated = _repeated(model, run_on, of_block)
    waiting = dict.fromkeys(of_block)
    steps = track(range(len(of_block)), "calibrating, blocks:")
    while waiting:
        with _passes(model, run_on, waiting) as advance:
            while waiting:
                halts = advance()
                if not halts:
                    unseen = of_block[next(iter(waiting))][0]
                    raise RunError(
                        f"{unseen.name} has no inputs: calibration never reached its block"
                    )
                block = halts[0][0]
                next(steps)
                del waiting[block]
                if block in repeated:
                    break
                yield _inputs_here(model, halts, run_on, of_block[block], products)
            else:
                break
        yield _inputs_of_all(model, run_on, {block: of_block[block]}, products)
    next(steps, None)


def _repeated(
    model: PreTrainedModel, batches: Sequence[Batch], of_block: Blocks
) -> Collection[nn.Module]:
    """The blocks that a pass runs several times, or whose matrices are other blocks' too."""
    times: Counter[nn.Module] = Counter()
    texts = without_padding(min(batches, key=lambda batch: batch["input_ids"].shape[1]))
    if texts:
        short = {name: tensor[:1] for name, tensor in texts[-1].items()}
        with contextlib.ExitStack() as hooks, torch.no_grad():
            for block in of_block:
                hook = block.register_forward_pre_hook(lambda one, _: times.update([one]))
                hooks.callback(hook.remove)
            model.base_model(**short)
    return {
        block
        for block, matrices in of_block.items()
        if times[block] > 1 or any(len(matrix.modules) > 1 for matrix in matrices)
    }


@contextlib.contextmanager
def _passes(
    model: PreTrainedModel, batches: Sequence[Batch], waiting: Collection[nn.Module]
) -> Iterator[Callable[[], list[Halt]]]:
    """A forward pass of each batch. What is given runs them to the next block that is waiting, and
    gives what it is called with in each; nothing if there is no such block."""

    def halt(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if block in waiting:
            getcurrent().parent.switch((block, args, kwargs))

    def advance() -> list[Halt]:
        with torch.no_grad():  # outside of the passes: they halt in the middle
            halts = [one.switch() for one in passes]
        return [] if any(one.dead for one in passes) else halts

    hooks = [block.register_forward_pre_hook(halt, with_kwargs=True) for block in waiting]
    passes = [greenlet(functools.partial(model.base_model, **batch)) for batch in batches]
    try:
        yield advance
    finally:
        for hook in hooks:
            hook.remove()
        for one in passes:
            if one:  # halted: what follows the last block is not wanted
                one.throw()


def _inputs_here(
    model: PreTrainedModel,
    halts: Sequence[Halt],
    batches: Sequence[Batch],
    matrices: Sequence[Matrix],
    products: bool,
) -> dict[str, Inputs]:
    """Run the halted block on every batch, adding up what goes into its matrices."""
    adding = _Adding(model.config, products)
    for (block, args, kwargs), batch in zip(halts, batches, strict=True):
        with adding.of(batch, {block: matrices}) as entering, torch.no_grad():
            entering.note(kwargs)
            block.forward(*args, **kwargs)  # past the hooks
    return adding.total(matrices)


def _inputs_of_all(
    model: PreTrainedModel, batches: Sequence[Batch], of_block: Blocks, products: bool
) -> dict[str, Inputs]:
    """Run the whole model on every batch, adding up what goes into the matrices of a block."""
    adding = _Adding(model.config, products)
    for batch in batches:
        with adding.of(batch, of_block), torch.no_grad():
            model.base_model(**batch)
    return adding.total([matrix for matrices in of_block.values() for matrix in matrices])


class _Adding:
    """Adds up what goes into matrices, batch after batch."""

    def __init__(self, config: Any, products: bool):
        self._config, self._products = config, products
        self._sums: dict[str, Sums] = {}
        # in this run of the block: a query's inputs are a key's, and are added up once
        self._entered: list[tuple[Tensor, bool, Sums]] = []

    def of(self, batch: Batch, of_block: Blocks) -> Entering:
        """While it is entered, what goes into these matrices is of this batch, and is added."""
        self._entered.clear()
        return Entering(of_block, functools.partial(self._add, batch), self._entered.clear)

    def _add(self, batch: Batch, matrix: Matrix, x: Tensor) -> None:
        for seen, from_encoder, shared in self._entered:
            if seen is x and from_encoder == matrix.from_encoder:
                self._sums[matrix.name] = shared
                return
        own = self._sums.setdefault(matrix.name, Sums(self._products))
        own.add(real(self._config, matrix, x, batch))
        self._entered.append((x, matrix.from_encoder, own))

    def total(self, matrices: Sequence[Matrix]) -> dict[str, Inputs]:
        """The sums by matrix. Raises RunError if one has none, or they are not finite."""
        found = {name: total for name, one in self._sums.items() if (total := one.total())}
        if unheard := [matrix.name for matrix in matrices if matrix.name not in found]:
            raise RunError(
                f"{unheard[0]} has no inputs: no calibration token went through it; leave what no"
                f" text reaches out with {excluding(unheard)}"
            )
        for name, inputs in found.items():
            if not inputs.squares.isfinite().all():
                raise RunError(f"{name}: its inputs are not finite; the model is broken")
        return found
