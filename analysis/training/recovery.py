"""Training of pruned models: with what was removed held at zero, or, to show why, without.

An epoch is one pass over the course's examples. What is removed is counted anew after every epoch,
from the model's own weights, so that no number rests on the masks having been kept.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.engine.arrays import Array, Mask
from analysis.errors import RequestError, RunError
from analysis.models.encoding import set_padding
from analysis.models.filling import partner_in
from analysis.training.course import Course
from analysis.training.distillation import Distillation
from analysis.training.loop import fine_tune


@dataclass(frozen=True)
class Trained:
    """What a training did.

    losses  of every step
    zeros   entries at removed places that are zero, after each epoch and after the last step
    """

    losses: list[float]
    zeros: list[int]


@contextlib.contextmanager
def flushing_denormals() -> Iterator[bool]:
    """Denormal numbers count as zero inside; says whether the processor can do that.

    They make a trained pruned network many times slower (pytorch#46180). Outside they are as torch
    has them by default: other steps of this process are not to depend on what ran before them.
    """
    taken = torch.set_flush_denormal(True)
    try:
        yield taken
    finally:
        torch.set_flush_denormal(False)


def zeros_at_removed(model: nn.Module, masks: Mapping[str, Mask]) -> dict[str, int]:
    """By tensor, how many of the entries that the masks remove are zero in the model.

    Heads that the model, for another form of task, has not are left out.
    """
    state = model.state_dict()
    return {
        name: int((state[own].cpu()[torch.from_numpy(~mask)] == 0).sum())
        for name, mask in masks.items()
        if (own := partner_in(model, state, name)) is not None
    }


def require_kept(model: nn.Module, masks: Mapping[str, Mask]) -> int:
    """How many entries the masks remove, all of them zero in the model.

    Raises RunError, naming the first tensor, if any is not.
    """
    zeros = zeros_at_removed(model, masks)
    for name, count in zeros.items():
        grown = int(masks[name].size - masks[name].sum()) - count
        if grown:
            raise RunError(
                f"{name}: {grown} removed weights are not zero after training; its mask is not kept"
            )
    return sum(zeros.values())


class Keeper:
    """Holds removed weights at zero while the model trains.

    Gradients are zero at removed places before the optimizer or the clipping sees them, so AdamW's
    moments stay zero there and other weights' steps do not depend on them. Where moments are older
    than the removal they would still move a weight: `put_back`, after each step, undoes that.
    """

    def __init__(self, model: nn.Module):
        self.masks: dict[str, Mask] = {}  # that are held now
        self._model = model
        self._parameters = dict(model.named_parameters(remove_duplicate=False))  # tied: each name
        self._removed: dict[str, Tensor] = {}  # by the model's own names
        self._hooks: list[Any] = []

    def remove(self, masks: Mapping[str, Mask]) -> None:
        """Set what the masks remove to zero, and hold just that from now on.

        Heads that the model, for another form of task, has not are passed over. Raises RunError if
        it has no parameter of another mask's name and shape.
        """
        removed = {}
        for name, mask in masks.items():
            own = partner_in(self._model, self._parameters, name)
            if own is not None:
                shape = tuple(self._parameters[own].shape)
                if shape != mask.shape:
                    raise RunError(f"{name}: a mask of shape {mask.shape} for a weight of {shape}")
                removed[own] = torch.from_numpy(~mask).to(self._parameters[own].device)
        self.let_go()
        self.masks, self._removed = dict(masks), removed
        for name, places in self._removed.items():
            hook = _no_gradient(places)
            self._hooks.append(self._parameters[name].register_post_accumulate_grad_hook(hook))
        self.put_back()

    def weights(self, names: Collection[str]) -> dict[str, Array]:
        """The parameters of these names as they are now, without a copy where they lie on the CPU.

        Raises RunError if the model lacks one.
        """
        own = {name: partner_in(self._model, self._parameters, name) for name in names}
        return {
            name: self._parameters[there].detach().cpu().numpy()
            for name, there in own.items()
            if there is not None
        }

    def put_back(self) -> None:
        """Set the removed weights to zero."""
        with torch.no_grad():
            for name, removed in self._removed.items():
                self._parameters[name].masked_fill_(removed, 0.0)

    def let_go(self) -> None:
        """Hold nothing any more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._removed, self.masks = [], {}, {}


def _no_gradient(removed: Tensor) -> Callable[[Tensor], None]:
    def zero(parameter: Tensor) -> None:
        if parameter.grad is not None:
            parameter.grad.masked_fill_(removed, 0.0)

    return zero


def fine_tune_masked(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    masks: Mapping[str, Mask],
    course: Course,
) -> Trained:
    """Train the pruned model in place, and hold what the masks remove at zero.

    Raises RunError if training diverges, or if a removed weight is not zero after some epoch.
    """
    return _train_masked(model, model, tokenizer, masks, course)


def distill_masked(
    model: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    masks: Mapping[str, Mask],
    course: Course,
) -> Trained:
    """As `fine_tune_masked`, but after the teacher, the dense model, as well as the labels."""
    set_padding(teacher, tokenizer)
    pair = cast(PreTrainedModel, Distillation(model, teacher, course.form))
    return _train_masked(pair, model, tokenizer, masks, course)


def _train_masked(
    trained: PreTrainedModel,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    masks: Mapping[str, Mask],
    course: Course,
) -> Trained:
    course = course.read_by(model, tokenizer)
    keeper = Keeper(model)
    keeper.remove(masks)
    epochs = EpochCounts(course, lambda: require_kept(model, masks))
    try:
        losses = train_course(trained, tokenizer, course, [keeper.put_back, epochs.step])
    finally:
        keeper.let_go()
    return Trained(losses, epochs.counts)


def fine_tune_unmasked(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    masks: Mapping[str, Mask],
    course: Course,
) -> Trained:
    """The pitfall: the same training of the pruned model with nothing that holds its zeros.

    The masks only say where to count what is left of them.
    """
    course = course.read_by(model, tokenizer)
    epochs = EpochCounts(course, lambda: sum(zeros_at_removed(model, masks).values()))
    return Trained(train_course(model, tokenizer, course, [epochs.step]), epochs.counts)


class EpochCounts:
    """Counts steps, and calls `count` after each epoch's last and after the course's last."""

    def __init__(self, course: Course, count: Callable[[], int]):
        self.counts: list[int] = []
        self._course, self._count, self._done = course, count, 0

    def step(self) -> None:
        """One more step is done."""
        self._done += 1
        if self._done == self._course.steps or self._done % self._course.steps_per_epoch == 0:
            self.counts.append(self._count())


def train_course(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    course: Course,
    after_step: Sequence[Callable[[], None]],
) -> list[float]:
    """Train in place by the whole course, calling these after each step; the loss of every step."""
    if course.epochs <= 0 or not course.examples:
        raise RequestError("training a pruned model takes examples, and more than 0 epochs.")

    def call_each() -> None:
        for call in after_step:
            call()

    course = replace(course, what="training the pruned model")
    return fine_tune(model, tokenizer, course, steps=course.steps, after_step=call_each)
