"""Which rows of what goes into a layer are tokens of the texts, and which are padding.

It is told by the layout of the inputs: [texts, tokens, width], or [tokens, texts, width] where a
model runs time first (FSMT). Where that does not tell, or where a model answers otherwise beside
padding (FNet, Funnel, ConvBERT), texts are run without any: only equally long ones together.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from analysis.calibration.matrices import Matrix
from analysis.errors import RunError
from analysis.models.encoding import Batch

Blocks = Mapping[nn.Module, Sequence[Matrix]]

_ALIKE = 1e-4  # of the largest output: far above rounding, far below what padding changes
_OUTPUTS = ("last_hidden_state", "encoder_last_hidden_state", "logits")


class Entering:
    """While it is entered, shows `see` what goes into each matrix, and tells when a block is.

    DeBERTa projects relative positions by its queries' and keys' matrices: no tokens, so left out.
    """

    def __init__(
        self,
        blocks: Blocks,
        see: Callable[[Matrix, Tensor], None],
        begin: Callable[[], None] = lambda: None,
    ):
        self._blocks, self._see, self._begin = blocks, see, begin
        self._positions: Tensor | None = None
        self._hooks = contextlib.ExitStack()

    def __enter__(self) -> "Entering":
        for block, matrices in self._blocks.items():
            hook = block.register_forward_pre_hook(
                lambda _, args, kwargs: self.note(kwargs), with_kwargs=True
            )
            self._hooks.callback(hook.remove)
            for matrix in matrices:
                for module in matrix.modules:
                    hook = module.register_forward_pre_hook(self._shown(matrix))
                    self._hooks.callback(hook.remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    def note(self, kwargs: Mapping[str, Any]) -> None:
        """A block is called with these; what calls its `forward` alone has to say so."""
        self._positions = kwargs.get("rel_embeddings")
        self._begin()

    def _shown(self, matrix: Matrix) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def show(_: nn.Module, args: tuple[Any, ...]) -> None:
            positions = self._positions
            if positions is None or not _share_memory(args[0], positions):
                self._see(matrix, args[0])

        return show


def _share_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def real(config: Any, matrix: Matrix, x: Tensor, batch: Batch) -> Tensor:
    """The rows of tokens, (tokens, width), of what goes into a matrix of a model of that config.

    Raises RunError if they cannot be told from padding.
    """
    mask = _mask(matrix, batch)
    rows = x.reshape(-1, x.shape[-1])
    if mask.all():
        if len(rows) <= mask.numel():  # fewer, where layers pool or experts see some tokens
            return rows
        if _pads(config) and len(mask) == 1:
            return rows[: mask.numel()]
        if hasattr(config, "ngram") and len(rows) % mask.numel() == 0:
            return rows  # ProphetNet's decoder runs each text once more for each token foreseen
    elif (laid := _laid_out(x, mask)) is not None:
        return rows[laid.reshape(-1)]
    raise RunError(
        f"{matrix.name} gets {len(rows)} rows for {mask.numel()} tokens, so padding cannot be told"
        " apart; leave it out, or take a method that looks at weights alone"
    )


def _mask(matrix: Matrix, batch: Batch) -> Tensor:
    """Which tokens are a text's, bool (texts, tokens)."""
    side = "attention_mask" if matrix.from_encoder else "decoder_attention_mask"
    return batch.get(side, batch["attention_mask"]).bool()


def _laid_out(x: Tensor, mask: Tensor) -> Tensor | None:
    """The mask as the inputs lie, told by their shape; None if that does not tell."""
    if x.dim() != 3 or mask.shape[0] == mask.shape[1]:
        return None
    if x.shape[:2] == mask.shape:
        return mask
    return mask.T if x.shape[:2] == mask.T.shape else None


def _pads(config: Any) -> bool:
    """Whether the model pads texts itself, to whole windows (Longformer)."""
    return getattr(config, "attention_window", None) is not None


def told_apart(model: PreTrainedModel, batches: Sequence[Batch], blocks: Blocks) -> Sequence[Batch]:
    """The batches, or these texts in others, of whose inputs `real` tells what is padding."""
    if _pads(model.config):
        return [text for batch in batches for text in without_padding(batch, together=False)]
    padded = [batch for batch in batches if _is_padded(batch)]
    if not padded:
        return batches
    plain = [batch for batch in padded if not _is_square(batch)]
    if plain and _is_told(model, min(plain, key=_size), blocks):
        return [
            part
            for batch in batches
            for part in (without_padding(batch) if _is_square(batch) else [batch])
        ]
    return [part for batch in batches for part in without_padding(batch)]


def _is_told(model: PreTrainedModel, batch: Batch, blocks: Blocks) -> bool:
    """Whether layouts tell padding in this batch, and a text's outputs are its own beside it."""
    laid: list[Tensor | None] = []
    with torch.no_grad():
        with Entering(blocks, lambda m, x: laid.append(_laid_out(x, _mask(m, batch)))):
            together = model.base_model(**batch)
        if any(layout is None for layout in laid):
            return False
        row = int(batch["attention_mask"].sum(1).argmin())
        (own,) = without_padding({name: t[row : row + 1] for name, t in batch.items()}) or (None,)
        if own is None:  # of a text of padding alone nothing is asked
            return True
        alone = model.base_model(**own)
    pairs = [
        (getattr(alone, name)[0], getattr(together, name)[row])
        for name in _OUTPUTS
        if isinstance(getattr(alone, name, None), Tensor)
    ]
    return bool(pairs) and all(_are_alike(one, other) for one, other in pairs)


def _are_alike(alone: Tensor, padded: Tensor) -> bool:
    """Whether outputs (tokens, width) are the first of these."""
    first = padded[: len(alone)]
    if first.shape != alone.shape:
        return False
    return bool((alone - first).abs().max() <= _ALIKE * alone.abs().max())


def _is_padded(batch: Batch) -> bool:
    return any(not batch[name].all() for name in batch if name.endswith("attention_mask"))


def _is_square(batch: Batch) -> bool:
    """Whether a side has as many texts as tokens, so that its inputs' layout tells nothing."""
    masks = [batch[name] for name in batch if name.endswith("attention_mask")]
    return _is_padded(batch) and any(len(mask) == mask.shape[1] for mask in masks)


def _size(batch: Batch) -> int:
    return sum(tensor.numel() for tensor in batch.values())


def without_padding(batch: Batch, *, together: bool = True) -> list[Batch]:
    """The texts of a batch in batches without padding: equally long ones together, or each alone.

    Texts of padding alone are left out.
    """
    masks = {name: batch[name].bool() for name in batch if name.endswith("attention_mask")}
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row in range(len(batch["input_ids"])):
        lengths = tuple(int(mask[row].sum()) for mask in masks.values())
        if all(lengths):
            groups[lengths if together else (*lengths, row)].append(row)

    def of(name: str, row: int) -> Tensor:
        side = "decoder_attention_mask" if name.startswith("decoder_") else "attention_mask"
        return batch[name][row][masks[side][row]]

    return [
        {name: torch.stack([of(name, row) for row in rows]) for name in batch}
        for rows in groups.values()
    ]
