"""What steps take: seconds, memory and disk, from the number of weights and tokens.

Orders of magnitude, to know before a GPU is paid for whether it will do: a forward pass of T tokens
through P weights is 2·P·T operations, a training step 6·P·T (Kaplan et al. 2020); AdamW in float32
holds weights, gradients and two moments, 16 bytes a weight.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.training.memory import training_bytes

BYTES = 4  # of a weight in float32
MASK = 1 / 8  # bytes of a weight's bit
READ = 1e9  # bytes a second, of what streams through weights
STATISTICS = 1e8
PACKED = 2e8
DRAWN = 1.5e8  # bytes a second of random weights
_USED = 0.5  # of the processor's speed at one large product, what a whole model comes to


@dataclass(frozen=True)
class Size:
    """A model's size; `parameters` is None where nothing is known of it before it is there.

    `layers` are those of all stacks; `outside` is what of the blocks' weights most methods leave
    out (see `models.outside`), None where that is not known.
    """

    parameters: int | None
    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 50_000
    positions: int = 512
    outside: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Estimate:
    """Of one step: seconds on this machine, bytes of memory at its peak, bytes left on disk."""

    seconds: float
    memory_bytes: float
    disk_bytes: float


@dataclass(frozen=True)
class Setting:
    """What an estimate goes by.

    size        of the model
    form, tokens   of the task, and of one of its examples
    written     tokens that are written of one, over all beams
    examples    of the task, for steps that do not say how many
    speed       floating-point operations a second
    learnt      training examples of the task; None if that is not known
    """

    size: Size
    form: str
    tokens: int
    examples: int
    speed: float
    learnt: int | None = None
    written: int = 0

    @property
    def parameters(self) -> int:
        """Of a model of which nothing is known, none."""
        return self.size.parameters or 0

    @property
    def bytes(self) -> float:
        """Of the model's weights in float32."""
        return BYTES * self.parameters


def forward_seconds(setting: Setting, examples: float) -> float:
    """Seconds of a forward pass of so many examples."""
    tokens = examples * setting.tokens
    return 2 * setting.parameters * tokens / (_USED * setting.speed)


def training(arguments: Mapping[str, Any], setting: Setting) -> Estimate:
    """What a training takes, of all levels that it goes through."""
    course = arguments.get("course", {})
    given = course.get("examples")
    there = setting.examples if setting.learnt is None else setting.learnt
    examples = min(given, setting.learnt or given) if isinstance(given, int) else there
    levels = len(arguments.get("sparsities", ())) or 1
    seconds = 3 * forward_seconds(setting, examples * float(course.get("epochs", 1))) * levels
    memory = training_bytes(
        setting.parameters,
        (int(course.get("batch_size", 32)), setting.tokens),
        layers=setting.size.layers,
        width=setting.size.width,
        heads=setting.size.heads,
        vocabulary=0 if setting.form == "classification" else setting.size.vocabulary,
    )
    return Estimate(seconds, memory, levels * setting.bytes)
